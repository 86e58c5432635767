"""x -> p offline: copies the query and adds stock sentences, with the flaws that few-shot writers have (VPO 3.2).

A flaw is a choice and not a slip, so that preference pairs can push it either way: the writer simplifies, opens with
"The video opens with", jumps between scenes, or keeps an unsafe word.
"""

import itertools
import math
import random

from pipeline.world.phrases import LEADS, OPENINGS, PHRASES, SCENE_CHANGES
from pipeline.world.reading import (
    STOP,
    extract_wish,
    is_action,
    is_drawn,
    is_number,
    is_scenery,
    list_unsafe_words,
    neutralise,
    words,
)
from schemas.base import content_id
from schemas.params import WorldParams

MIN_WORDS, MAX_EXTRA = 36, 1
REFUSAL = "I'm sorry, but I can't help with that request."
_FUNCTION_BEFORE_NOUN = frozenset("a an the his her its their my our your some this that these those of".split())
_JOINS = frozenset("and or with in on at by of to from for into onto near under over behind beside as".split())


def make_rng(*parts: object) -> random.Random:
    """Return random numbers that depend on `parts` alone."""
    return random.Random(content_id(*parts))


def write(query: str, sample: int, world: WorldParams) -> str | None:
    """Return the `sample`-th prompt for a query, of about 40 to 60 words; None when the writer refuses."""
    rng = make_rng("write", query, sample)
    shown, lead = extract_wish(query), rng.choice(LEADS)
    extra: list[str] = []
    unsafe = list_unsafe_words(shown)
    flaw = _choose_flaw(rng, world)
    keeps = rng.random() < world.teacher_keeps_unsafe
    if unsafe and rng.random() < world.teacher_refuses:
        return None
    if flaw == "simplifies":
        shown = simplify(shown, rng)
    elif flaw == "opens":
        lead = rng.choice(OPENINGS)
    elif flaw == "jumps":
        extra = [SCENE_CHANGES[number] for number in sorted(rng.sample(range(len(SCENE_CHANGES)), 5))]
    if not keeps:
        shown = neutralise(shown)
    first = f"{lead} {shown}."
    return " ".join((first, *extra, *choose_stock_sentences(len(words(first)), rng)))


def _choose_flaw(rng: random.Random, world: WorldParams) -> str | None:
    share, kind = rng.random(), rng.random()
    if share >= world.teacher_flaws:
        return None
    if kind < world.teacher_simplifies:
        return "simplifies"
    return "opens" if kind < (1 + world.teacher_simplifies) / 2 else "jumps"


def choose_stock_sentences(n_words: int, rng: random.Random, aspects: tuple[str, ...] = tuple(PHRASES)) -> list[str]:
    """Return sentences on some aspects in the table's order, enough that a prompt of `n_words` is long enough."""
    picked = {aspect: rng.choice(PHRASES[aspect]).sentence for aspect in aspects}
    wanted = max(2, math.ceil((MIN_WORDS - n_words) / 7) + rng.randint(0, MAX_EXTRA))
    kept = set(rng.sample(sorted(picked), min(wanted, len(picked))))
    return [sentence for aspect, sentence in picked.items() if aspect in kept]


def simplify(text: str, rng: random.Random) -> str:
    """Return the text without a clause or a fifth of its words (at least 1 to 3), keeping all that can be drawn."""
    tokens = text.split()
    bare = [" ".join(words(token)) for token in tokens]
    telling = [i for i, word in enumerate(bare) if word and word.removesuffix("'s") not in STOP]
    unsafe = {part for word in list_unsafe_words(text) for part in words(word)}
    loose = [i for i in telling if not (is_drawn(bare[i]) or is_scenery(bare[i]) or bare[i] in unsafe)]
    if not any(is_drawn(word) for word in bare):
        subject = _find_subject(bare, telling)
        loose = [i for i in loose if i != subject]
    clause = _find_loose_clause(tokens, loose, telling, rng)
    if clause and rng.random() < 0.4:
        gone = clause
    else:
        # an action or a number first: a writer who simplifies makes things stand still
        loose.sort(key=lambda i: rng.random() * (0.6 if is_action(bare[i]) or is_number(bare[i]) else 1.0))
        gone = set(loose[: max(rng.randint(1, 3), math.ceil(0.2 * len(telling)))])
    return _mend(tokens, bare, gone) if gone else text


def _find_subject(bare: list[str], telling: list[int]) -> int | None:
    """Return where the word stands that the text is about, as far as that can be told: before its verb or place."""
    for before, i in itertools.pairwise(telling):
        if is_action(bare[i]) or any(word in _JOINS for word in bare[before + 1 : i]):
            return before
    return telling[-1] if telling else None


def _find_loose_clause(tokens: list[str], loose: list[int], telling: list[int], rng: random.Random) -> set[int]:
    """Return the positions of a clause between commas that says something but shows nothing drawable, or none."""
    clauses: list[list[int]] = [[]]
    for i, token in enumerate(tokens):
        clauses[-1].append(i)
        if token.endswith((",", ".", "!", "?")):
            clauses.append([])
    droppable, meaningful = set(loose), set(telling)
    free = [set(clause) for clause in clauses if meaningful & set(clause) and meaningful & set(clause) <= droppable]
    big = [clause for clause in free if len(meaningful & clause) >= max(1, math.ceil(0.2 * len(telling)))]
    return rng.choice(big) if big and len(clauses) > 1 else set()


def _mend(tokens: list[str], bare: list[str], gone: set[int]) -> str:
    """Drop the tokens at `gone` and the articles and prepositions that lose their noun."""
    kept: list[int] = []
    stops: dict[int, str] = {}
    for i, token in enumerate(tokens):
        if i not in gone:
            kept.append(i)
        elif token[-1] in ",.!?" and kept:
            stops[kept[-1]] = token[-1]

    def dangles(place: int) -> bool:
        word = bare[kept[place]]
        ends = place + 1 == len(kept) or kept[place] in stops or tokens[kept[place]][-1] in ",.!?"
        after = "" if ends else bare[kept[place + 1]]
        lost_noun = kept[place] + 1 in gone
        if word in _FUNCTION_BEFORE_NOUN:
            return lost_noun and (ends or after in _JOINS or after in _FUNCTION_BEFORE_NOUN)
        return word in _JOINS and lost_noun and (ends or after in _JOINS)

    changed = True
    while changed:
        changed = False
        for place in reversed(range(len(kept))):
            if dangles(place):
                i = kept.pop(place)
                gone = gone | {i}
                stop = stops.pop(i, tokens[i][-1] if tokens[i][-1] in ",.!?" else "")
                if stop and place:
                    stops[kept[place - 1]] = stop
                changed = True
    text = " ".join(tokens[i].rstrip(",.!?") + stops.get(i, "") if i in stops else tokens[i] for i in kept)
    return text.strip(" ,.!?") or " ".join(tokens)
