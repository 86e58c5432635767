"""How the offline teacher reads a text: what of a query is to be seen, its words, and which of them weigh more."""

import re

from pipeline.text.clean import clean
from pipeline.world.lexicon import ACTIONS, DRAMATIC, DRAWABLE, HARMLESS, PLACES, UNSAFE

STOP = frozenset(
    """
    a an the this that these those some any and or but of in on at to from with without by for as into onto over under
    near behind beside between through across inside outside around along above below off up down out is are was were
    be been being am it its his her hers their they them he she him i my me we our us you your who which what where
    when while then there here have has had do does did so very just also not no all both each
    """.split()
)
NUMBERS = frozenset("two three four five six seven eight nine ten eleven twelve dozen hundred thousand".split())
NOT_ACTIONS = frozenset(
    "thing king ring wing string spring ceiling morning evening building wedding clothing lightning nothing something "
    "everything anything during sibling sterling pudding duckling viking sling swing sting".split()
)

WORD = re.compile(r"[^\W_]+(?:['’‘.:-][^\W_]+)*")
_SHOWN = r"(?:videos?|video clip|clip|animation|movie|short film|film|footage|scene)"
# what a user says to the machine and not about the video
REQUEST = re.compile(
    rf"^(?:please )?(?:can you |i want you to |i want |i need )?(?:create|make|generate|produce|show|render|give)?\s*"
    rf"(?:me |us )?(?:an? |the )?(?:short )?{_SHOWN} (?:of|about|showing|with|where|in which) "
    r"|^(?:please )?(?:can you |i want you to )?(?:create|make|generate|produce|render|show me|give me) (?=an? |the )",
    re.IGNORECASE,
)
# Fig. 7 rule 5: the prompt ignores length, ratio, resolution and sound
FORMAT = re.compile(
    r"(?<!\w)(?:in )?(?:\d{1,2}k|u?hd|ultra hd|full hd|\d{3,4}p|\d+ ?fps|\d{1,2} ?[:x] ?\d{1,2}|"
    r"\d+ ?(?:seconds?|secs?|minutes?) (?:long|video|clip)|no (?:sound|audio|music)|"
    r"with (?:background )?(?:music|sound|sound effects|audio))(?!\w)(?: resolution| quality)?",
    re.IGNORECASE,
)
_UNSAFE = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(UNSAFE, key=len, reverse=True))})(?![\w-])", re.IGNORECASE)
_HARMLESS = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(HARMLESS, key=len, reverse=True))})(?![\w-])", re.IGNORECASE)


def extract_wish(query: str) -> str:
    """Return what of a query is to be seen, in its words and order: no flags, requests, formats or brackets."""
    text = REQUEST.sub("", clean(query))
    text = FORMAT.sub("", text)
    text = re.sub(r"[\[\](){}\"“”*#|‹›«»~^=+]+|(?<!\w)['’‘`]|['’‘`](?!\w)", " ", text)
    text = re.sub(r"(?<=\w)\s*(?:;|::?)(?!\d)|\s[-–—]+(?=\s)|…|\.{2,}", ",", text)
    text = re.sub(r"\s+([,.!?])", r"\1", " ".join(text.split()))
    text = re.sub(r"[,.!?]*([,.!?])", r"\1", text)
    text = re.sub(r",(?=\S)(?!\d)", ", ", text).strip(" ,.!?-–—")
    return _lower_first(text)


def _lower_first(text: str) -> str:
    """Lower the first word's capital, but not a name's ("Tavik Moor walks") nor a lone letter's ("X wing")."""
    words = text.split(" ", 2)
    if len(text) > 5 and text.isupper():
        return text.lower()
    named = len(words) > 1 and words[1][:1].isupper()
    lowers = words[0][1:].islower() and not named or words[0] in ("A", "An", "I") and words[0] != "I"
    return text[:1].lower() + text[1:] if lowers else text


def words(text: str) -> list[str]:
    """Return the words in lower case, compounds and times whole."""
    return WORD.findall(text.lower().replace("’", "'"))


def list_content_words(text: str) -> list[str]:
    """Return the words that say something, in order; a possessive counts as its noun."""
    return [bare for word in words(text) if (bare := word.removesuffix("'s")) not in STOP]


def is_action(word: str) -> bool:
    """Return whether a word is what somebody does, by the lexicon or its -ing."""
    return word in ACTIONS or (word.endswith("ing") and len(word) > 4 and word not in NOT_ACTIONS)


def is_number(word: str) -> bool:
    """Return whether a word is a number, in letters or digits."""
    return word in NUMBERS or word.isdigit()


def is_drawn(word: str) -> bool:
    """Return whether the generator draws the word, be it in the plural."""
    return any(form in DRAWABLE for form in (word, word.removesuffix("s"), word.removesuffix("es")))


def is_scenery(word: str) -> bool:
    """Return whether a word is a place or a dramatic event of the lexicon."""
    return word in PLACES or word in DRAMATIC


def find_unsafe_spans(text: str) -> list[tuple[int, int, str]]:
    """Return (start, end, word) of each unsafe word that stands in no harmless phrase such as "shooting star"."""
    harmless = [match.span() for match in _HARMLESS.finditer(text)]
    return [
        (match.start(), match.end(), match.group().lower())
        for match in _UNSAFE.finditer(text)
        if not any(start <= match.start() and match.end() <= end for start, end in harmless)
    ]


def list_unsafe_words(text: str) -> list[str]:
    """Return the unsafe words of a text, each once, in order."""
    return list(dict.fromkeys(word for _, _, word in find_unsafe_spans(text)))


def neutralise(text: str) -> str:
    """Return the text with each unsafe word's harmless stand-in."""
    for start, end, word in reversed(find_unsafe_spans(text)):
        text = text[:start] + UNSAFE[word] + text[end:]
    return text
