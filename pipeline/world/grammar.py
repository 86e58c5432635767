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
    is_action,
    is_drawn,
    is_number,
    is_scenery,
    neutralised,
    unsafe_words,
    wish,
    words,
)
from schemas.base import content_id
from schemas.params import WorldParams

MIN_WORDS, MAX_EXTRA = 36, 1
REFUSAL = "I'm sorry, but I can't help with that request."
_FUNCTION_BEFORE_NOUN = frozenset("a an the his her its their my our your some this that these those of".split())
_JOINS = frozenset("and or with in on at by of to from for into onto near under over behind beside as".split())


def rng_for(*parts) -> random.Random:
    """Return random numbers that depend on `parts` alone."""
    return random.Random(content_id(*parts))


def write(query: str, sample: int, world: WorldParams) -> str | None:
    """Return the `sample`-th prompt for a query, of about 40 to 60 words; None when the writer refuses."""
    rng = rng_for("write", query, sample)
    shown, lead, extra = wish(query), rng.choice(LEADS), ()
    unsafe = unsafe_words(shown)
    flaw = _flaw(rng, world)
    keeps = rng.random() < world.teacher_keeps_unsafe
    if unsafe and rng.random() < world.teacher_refuses:
        return None
    if flaw == "simplifies":
        shown = simplified(shown, rng)
    elif flaw == "opens":
        lead = rng.choice(OPENINGS)
    elif flaw == "jumps":
        extra = [SCENE_CHANGES[at] for at in sorted(rng.sample(range(len(SCENE_CHANGES)), 5))]
    if not keeps:
        shown = neutralised(shown)
    first = f"{lead} {shown}."
    return " ".join((first, *extra, *stock_sentences(len(words(first)), rng)))


def _flaw(rng: random.Random, world: WorldParams) -> str | None:
    share, kind = rng.random(), rng.random()
    if share >= world.teacher_flaws:
        return None
    if kind < world.teacher_simplifies:
        return "simplifies"
    return "opens" if kind < (1 + world.teacher_simplifies) / 2 else "jumps"


def stock_sentences(n_words: int, rng: random.Random, aspects: tuple[str, ...] = tuple(PHRASES)) -> list[str]:
    """Return sentences on some aspects in the table's order, enough that a prompt of `n_words` is long enough."""
    picked = {aspect: rng.choice(PHRASES[aspect]).sentence for aspect in aspects}
    wanted = max(2, math.ceil((MIN_WORDS - n_words) / 7) + rng.randint(0, MAX_EXTRA))
    kept = set(rng.sample(sorted(picked), min(wanted, len(picked))))
    return [sentence for aspect, sentence in picked.items() if aspect in kept]


def simplified(text: str, rng: random.Random) -> str:
    """Return the text without a clause or a fifth of its words (at least 1 to 3), keeping all that can be drawn."""
    tokens = text.split()
    bare = [" ".join(words(token)) for token in tokens]
    said = [at for at, word in enumerate(bare) if word and word.removesuffix("'s") not in STOP]
    unsafe = {part for word in unsafe_words(text) for part in words(word)}
    loose = [at for at in said if not (is_drawn(bare[at]) or is_scenery(bare[at]) or bare[at] in unsafe)]
    if not any(is_drawn(word) for word in bare):
        subject = _subject(bare, said)
        loose = [at for at in loose if at != subject]
    clause = _loose_clause(tokens, loose, said, rng)
    if clause and rng.random() < 0.4:
        gone = clause
    else:
        # an action or a number first: a writer who simplifies makes things stand still
        loose.sort(key=lambda at: rng.random() * (0.6 if is_action(bare[at]) or is_number(bare[at]) else 1.0))
        gone = set(loose[: max(rng.randint(1, 3), math.ceil(0.2 * len(said)))])
    return _mended(tokens, bare, gone) if gone else text


def _subject(bare: list[str], said: list[int]) -> int | None:
    """Return where the word stands that the text is about, as far as that can be told: before its verb or place."""
    for before, at in itertools.pairwise(said):
        if is_action(bare[at]) or any(word in _JOINS for word in bare[before + 1 : at]):
            return before
    return said[-1] if said else None


def _loose_clause(tokens: list[str], loose: list[int], said: list[int], rng: random.Random) -> set[int]:
    """Return the positions of a clause between commas that says something but shows nothing drawable, or none."""
    clauses: list[list[int]] = [[]]
    for at, token in enumerate(tokens):
        clauses[-1].append(at)
        if token.endswith((",", ".", "!", "?")):
            clauses.append([])
    droppable, telling = set(loose), set(said)
    free = [set(clause) for clause in clauses if telling & set(clause) and telling & set(clause) <= droppable]
    big = [clause for clause in free if len(telling & clause) >= max(1, math.ceil(0.2 * len(said)))]
    return rng.choice(big) if big and len(clauses) > 1 else set()


def _mended(tokens: list[str], bare: list[str], gone: set[int]) -> str:
    """Drop the tokens at `gone` and the articles and prepositions that lose their noun."""
    kept: list[int] = []
    stops: dict[int, str] = {}
    for at, token in enumerate(tokens):
        if at not in gone:
            kept.append(at)
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
                at = kept.pop(place)
                gone = gone | {at}
                stop = stops.pop(at, tokens[at][-1] if tokens[at][-1] in ",.!?" else "")
                if stop and place:
                    stops[kept[place - 1]] = stop
                changed = True
    text = " ".join(tokens[at].rstrip(",.!?") + stops.get(at, "") if at in stops else tokens[at] for at in kept)
    return text.strip(" ,.!?") or " ".join(tokens)
