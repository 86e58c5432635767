"""Reads a text as a person would who means to see through its disguise: look-alike letters, leet, spacing, masks.

Ours. A reading is one more token list to look for terms in; readings are generous, since a term found in one counts
only together with another (see `pipeline.curation.prohibited_content`).
"""

import unicodedata
from collections.abc import Iterator

import regex

from pipeline.text.clean import words

_LOOKALIKES = (
    "аa вb еe ѕs іi јj кk мm нh оo рp сc тt уy хx ԁd ɡg һh ӏl ѡw ԛq ԝw ґr зe ьb пn гr иu дd лl яr эe бb "
    "αa βb γy δd εe ζz ηn ιi κk λl μu νv οo πn ρp σo ςc τt υu φo χx ωw "
    "ıi łl øo đd ðd ħh ŧt ɑa ɐa ɓb ƈc ɗd ǝe ɘe ɛe ƒf ɠg ɣy ɦh ɨi ɩi ʝj ƙk ɫl ɭl ɯm ɱm ŋn ɲn ɳn ɵo ɔo ƥp ɋq ɹr ɾr ʀr ʂs "
    "ƨs ʃs ƫt ʈt ʇt ʉu ʊu ʋv ʌv ʍw ɥh ʎy ʏy ƶz ʐz ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ꞯq ꜱs ᴛt ᴜu ᴠv ᴡw ᴢz "
    "ոn սu օo հh ցg աw տs քp եe αa ꓮa ꓐb ꓚc ꓓd ꓰe ꓲi ꓠn ꓳo ꓢs ꓬy ๏o ໐o ০o ०o ٥o ۵o"
)
_BLOCKS = (0x1F150, 0x1F170, 0x1F1E6)  # white-on-black circled and squared letters, flag letters; NFKC leaves them
LETTERS = {ord(pair[0]): pair[1] for pair in _LOOKALIKES.split()} | {
    start + place: chr(ord("a") + place) for start in _BLOCKS for place in range(26)
}
LEET = {ord(sign): letter for sign, letter in zip("034578@$€!¡|1+6", "oeastbaseiiiitg", strict=True)}
ONE_IS_L = LEET | {ord(sign): "l" for sign in "1!|"}
NO_SIGNS: dict[int, str] = {}
PEOPLE = {"👶": " baby ", "🧒": " child ", "👦": " boy ", "👧": " child ", "🔞": " nsfw "}

MARK = regex.compile(r"\p{M}+")
EDGES = "!?.,;:|+-_*'\"()[]{}<>#"
CHUNK = regex.compile(r"[^\s,;:?()\[\]{}\"“”]+")
PIECES = regex.compile(r"[a-z]+")
SPELLED = regex.compile(r"(?<![\p{L}\p{N}])(?:\p{L}[^\p{L}\p{N}]{1,3}){2,}\p{L}(?![\p{L}\p{N}])")
MOST_PIECES = 4
"""Neighbouring pieces that are read as one word, at most. Ours."""
ARTICLES = {"a", "i"}  # "shot-a" are two words
LONG_RUN = regex.compile(r"(\p{L})\1{2,}")
HIDDEN = regex.compile(r"\p{L}[*#%_]")
MASKED = regex.compile(r"[\p{L}*#%_]*\p{L}[*#%_]+\p{L}+|\p{L}+[*#%_]+(?=\p{L})[\p{L}*#%_]*")

ODD = regex.compile(
    r"\p{M}|[^\x00-\x7F]|[a-z][0-9@$!|*#%_+]+[a-z]|[0-9@$!|][a-z]{2}|[a-z][-._~/\\^=+][a-z]"
    r"|(?<![a-z0-9])(?:[a-z0-9@$!|][^a-z0-9]{1,3}){2}[a-z0-9](?![a-z0-9])|([a-z])\1\1",
    regex.IGNORECASE,
)
"""A text without a match reads as it is written."""
REPEATED = "|".join(letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz")
ODD_HINT = (
    r"(?i)[^\x20-\x7E]|[a-z][0-9@$!|*#%_+]+[a-z]|[0-9@$!|][a-z]{2}|[a-z][-._~/\\^=+][a-z]"
    rf"|(?:^|[^a-z0-9])(?:[a-z0-9@$!|][^a-z0-9]+){{2}}[a-z0-9](?:$|[^a-z0-9])|{REPEATED}"
)
"""Every odd text matches this; Rust's regex reads it too."""


def list_readings(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the token lists that a text may be read as, the plain one first."""
    yield words(text)
    if not ODD.search(text):
        return
    for sign, name in PEOPLE.items():
        text = text.replace(sign, name)
    plain = replace_lookalikes(text)
    yield words(_strip_marks(text))
    yield words(plain)
    for table in (NO_SIGNS, LEET, ONE_IS_L):
        yield tuple(_join_pieces(plain, table))
    if LONG_RUN.search(plain):
        yield tuple(_join_pieces(LONG_RUN.sub(r"\1", plain), NO_SIGNS))
        yield tuple(_join_pieces(LONG_RUN.sub(r"\1\1", plain), NO_SIGNS))


def find_spelled_out(text: str) -> Iterator[str]:
    """Yield the runs of single letters in a text, each written together: "n a k e d" and "n.4.k.e.d" are naked."""
    if not ODD.search(text):
        return
    plain = replace_lookalikes(text)
    for reading in (plain, plain.translate(LEET)):
        for match in SPELLED.finditer(reading):
            yield "".join(filter(str.isalpha, match.group()))


def _strip_marks(text: str) -> str:
    return MARK.sub("", unicodedata.normalize("NFKD", text)).lower()


def replace_lookalikes(text: str) -> str:
    """Return a text in lower case without marks, each letter that looks like a Latin one as that."""
    return _strip_marks(text).translate(LETTERS)


def _join_pieces(text: str, table: dict[int, str]) -> Iterator[str]:
    """Yield the words of a text after leet: each chunk's pieces, and neighbouring pieces joined ("na-ked")."""
    for chunk in CHUNK.findall(text):
        letters = chunk.strip(EDGES).translate(table)
        pieces = PIECES.findall(letters)
        for begin in range(len(pieces)):
            for end in range(begin + 1, min(begin + MOST_PIECES, len(pieces)) + 1):
                if end == begin + 1 or not ARTICLES.intersection(pieces[begin:end]):
                    yield "".join(pieces[begin:end])


def list_mask_patterns(text: str) -> list[regex.Pattern[str]]:
    """Return a pattern for each word of a text in which *, #, % or _ stands for letters."""
    if not HIDDEN.search(text):
        return []
    return [
        regex.compile(regex.sub(r"[*#%_]", r"\\p{L}", match.group()))
        for match in MASKED.finditer(text.lower())
        if len(regex.sub(r"[*#%_]", "", match.group())) >= 2
    ]
