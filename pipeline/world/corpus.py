"""The offline world's users: raw queries like VidProM's, messy, mostly short, some unsafe, many alike.

Their sentences share no pattern with the teacher's, and their vocabulary has a long tail, so that a test split holds
words that no training split has.
"""

import datetime
import functools
import random
import re
from collections.abc import Iterator, Sequence

from pipeline.world import rare_words as rare
from pipeline.world.lexicon import ACCESSORIES, ACTIONS, COLOURS, DRAMATIC, DRAWABLE, HARMLESS, MODIFIERS, PLACES
from schemas.base import content_id

NEAR_DUPLICATES, EXACT_DUPLICATES = 0.12, 0.03
ODD = {"script": 0.03, "short": 0.02, "long": 0.015, "keyword": 0.008, "link": 0.008, "symbols": 0.008, "empty": 0.002}
_COUNTS = "two three four five seven ten six eight nine twelve".split()
MISSED, ALARMED, STARTLED = 0.08, 0.02, 0.6

# The frequent ones of Zipf's law must not all be dogs and cats, as the tables' order would have it.
_DRAWN = tuple(sorted(DRAWABLE, key=lambda word: content_id("noun", word)))
_LIVING = tuple(word for word in _DRAWN if DRAWABLE[word][0] in ("animal", "bird", "person", "fish"))
_COMMON_PLACES, _COMMON_ACTIONS = tuple(PLACES), tuple(ACTIONS)
_THINGS = frozenset(DRAWABLE) - frozenset(_LIVING)
_BARE_PLACES = frozenset(("space", "snow"))
# what a thing can do; the living do all the rest
_STIRS = """
spinning falling floating glowing rolling standing sliding growing drifting melting burning exploding sinking rising
crumbling morphing vanishing collapsing emerging levitating swinging sparkling freezing cracking blooming hovering
""".split()
_NO_PLURAL = ("s", "x", "ch", "sh", "y", "f", "fe", "man", "child", "fish", "sheep", "deer")
_ADULTS = (
    "man woman dancer chef soldier astronaut wizard knight pirate queen king farmer doctor painter musician singer "
    "runner cowboy samurai monk witch superhero nurse fisherman"
).split()
# Nobody who could be a minor appears in an unsafe query.
_MINORS = frozenset(
    "boy boys girl girls child baby kitten puppy princess prince fairy doll puppet young teenage school classroom "
    "playground teddy-bear toy-soldier teacher tiny small miniature petite freckled yo-yo carousel".split()
)
_DREAMERS = tuple(word for word in _DRAWN if word not in _MINORS)
_SEXUAL_BEFORE = "naked nude topless sexy undressed".split()
_UNSAFE_BEFORE = "bloody drunk wounded racist".split()
_UNSAFE_BEHIND = (
    "with a gun|covered in blood|holding a knife|with a rifle|next to a corpse|smoking drugs|carrying a bomb|"
    "bleeding|vomiting|with severed fingers|shooting a gun|hiding cocaine|after a murder|"
    "beating a stranger|full of gore|with weapons"
).split("|")
_UNSAFE_WHOLE = (
    "{a} killing {b}|{a} stabbing {b} {place}|{place} {a} strangling {b}|a terrorist with a bomb {place}|"
    "corpse floating {place}, {style}|a murder {place}|{a} torturing {b}|two nude dancers {place}|"
    "erotic dance of a {person} {place}|a drunk {person} vomiting {place}|severed hand on a table {when}|"
    "hateful {person} beating {b}|{person} kills {b} {place}|blood dripping from {b}|guns and drugs on a table {place}|"
    "two {person} fans shooting guns {place}|dismembered mannequin {place}, bloody walls|fetish party {place}|"
    "{person} in a porn movie, {style}"
).split("|")


def make_queries(n: int, seed: int, unsafe_share: float = 0.18) -> Iterator[dict]:
    """Yield n dicts of source_id, query, unsafe_score (0 to 1, as noisy as Detoxify's) and time (asctime), by `seed`.

    `unsafe_share` counts among the queries that are neither odd (another script, a link, too short) nor copies.
    """
    rng = random.Random(content_id("corpus", seed))
    typed: list[tuple[str, float]] = []
    clock = datetime.datetime(2023, 7, 1)
    for index in range(n):
        clock += datetime.timedelta(seconds=rng.randint(20, 6000))
        text, score = _type_query(rng, typed, unsafe_share)
        typed.append((text, score))
        yield {
            "source_id": f"synthetic-{seed}-{index:06d}",
            "query": text,
            "unsafe_score": score,
            "time": f"{clock:%a %b} {clock.day:2d} {clock:%H:%M:%S %Y}",
        }


def _type_query(rng: random.Random, typed: list[tuple[str, float]], unsafe_share: float) -> tuple[str, float]:
    kind = rng.random()
    if typed and kind < EXACT_DUPLICATES:
        return rng.choice(typed)
    if typed and kind < EXACT_DUPLICATES + NEAR_DUPLICATES:
        text, score = rng.choice(typed[-500:])
        return _vary(rng, text), score
    kind = rng.random()
    for name, share in ODD.items():
        kind -= share
        if kind < 0:
            return _make_odd(rng, name), _score_low(rng)
    if rng.random() < unsafe_share:
        return _roughen(rng, _make_unsafe(rng)), _score_low(rng) if rng.random() < MISSED else _score_high(rng)
    startling = rng.random() < 0.03
    text = _make_general(rng, tail=f"{rng.choice(('with', 'near', 'and'))} {rng.choice(HARMLESS)}" if startling else "")
    return _roughen(rng, text), _score_high(rng) if rng.random() < (STARTLED if startling else ALARMED) else _score_low(
        rng
    )


def _score_high(rng: random.Random) -> float:
    return round(0.5 + 0.5 * rng.betavariate(2.5, 1.2), 5)


def _score_low(rng: random.Random) -> float:
    return round(0.48 * rng.betavariate(0.5, 9), 5)


# ---- the pieces of a query


def _pick(rng: random.Random, words: Sequence[str], exponent: float = 0.6) -> str:
    return rng.choices(words, cum_weights=_cumulate_weights(len(words), exponent))[0]


@functools.cache
def _cumulate_weights(n: int, exponent: float) -> tuple[float, ...]:
    total, cumulated = 0.0, []
    for rank in range(1, n + 1):
        total += (rank + 2) ** -exponent
        cumulated.append(total)
    return tuple(cumulated)


def _invent(rng: random.Random) -> str:
    return "".join(rng.choice(rare.SYLLABLES) for _ in range(rng.choice((2, 2, 3))))


def _pick_adjective(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.46:
        return _pick(rng, MODIFIERS)
    if kind < 0.68:
        return _pick(rng, tuple(COLOURS))
    if kind < 0.9:
        return _pick(rng, rare.ADJECTIVES)
    return f"{rng.choice(rare.NOUNS)}-{rng.choice(rare.TAILS)}"


def _pick_noun(rng: random.Random) -> str:
    return _pick(rng, _DRAWN) if rng.random() < 0.8 else _pick(rng, rare.NOUNS, 0.1)


def _make_thing(rng: random.Random) -> str:
    noun = _pick(rng, rare.NOUNS, 0.1) if rng.random() < 0.5 else _pick(rng, _DRAWN)
    return _add_article(rng, noun if rng.random() < 0.6 else f"{_pick_adjective(rng)} {noun}")


def _add_article(rng: random.Random, text: str) -> str:
    kind = rng.random()
    if kind < 0.7:
        return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
    return f"the {text}" if kind < 0.85 else text


def _make_subject(rng: random.Random, before: str = "", noun: str = "") -> str:
    noun = noun or _pick_noun(rng)
    adjectives = [_pick_adjective(rng) for _ in range(rng.choices((0, 1, 2), (40, 42, 18))[0])]
    described = " ".join(dict.fromkeys((*adjectives, before) if before else adjectives))
    if rng.random() < 0.12 and not noun.endswith(_NO_PLURAL):
        count = _pick(rng, _COUNTS)
        return " ".join(f"{count} {described} {noun}s".split())
    text = _add_article(rng, f"{described} {noun}".strip())
    if noun in _LIVING:
        kind = rng.random()
        if kind < 0.16:
            worn = _pick(rng, ACCESSORIES)
            worn = worn if worn.endswith("s") else f"a {worn}"
            worn = f"{_pick(rng, tuple(COLOURS))} {worn.removeprefix('a ')}" if rng.random() < 0.3 else worn
            text += f" {rng.choice(('wearing', 'with', 'in'))} {worn}"
        elif kind < 0.29:
            text += f" {rng.choice(('named', 'called'))} {_invent(rng)}"
    return text


def _make_action(rng: random.Random, living: bool = True) -> str:
    verb = _pick(rng, _COMMON_ACTIONS) if rng.random() < 0.72 else _pick(rng, rare.ACTIONS, 0.2)
    verb = verb if living else _pick(rng, _STIRS)
    kind = rng.random()
    if kind < 0.2:
        return f"{verb} {rng.choice(('with', 'next to', 'behind', 'towards', 'around'))} {_make_thing(rng)}"
    return f"{verb} {rng.choice(('slowly', 'quickly', 'happily', 'alone', 'together'))}" if kind < 0.3 else verb


def _make_place(rng: random.Random) -> str:
    place = _pick(rng, _COMMON_PLACES) if rng.random() < 0.75 else _pick(rng, rare.PLACES, 0.1)
    if place in _BARE_PLACES:
        return f"in {place}"
    place = place if rng.random() < 0.65 else f"{_pick_adjective(rng)} {place}"
    if rng.random() < 0.05:
        return f"in {_invent(rng)}"
    return f"{_pick(rng, ('in', 'on', 'at', 'near', 'through', 'across', 'inside', 'over'))} {_add_article(rng, place)}"


def _pick_phrase(rng: random.Random, table: str) -> str:
    return rng.choice(_split_table(table))


@functools.cache
def _split_table(table: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in table.split("|"))


def _make_general(rng: random.Random, before: str = "", tail: str = "", noun: str = "") -> str:
    """Return a harmless query; `before` goes in front of its noun and `tail` behind it."""
    noun = noun or _pick_noun(rng)
    subject, action, place = _make_subject(rng, before, noun), _make_action(rng, noun not in _THINGS), _make_place(rng)
    tail = tail or (
        f"{rng.choice(('during', 'after', 'before'))} the {_pick(rng, DRAMATIC)}" if rng.random() < 0.07 else ""
    )
    subject = f"{subject} {tail}".strip()
    extras = [
        _pick_phrase(rng, table) for table, share in ((rare.WHEN, 0.22), (rare.STYLES, 0.25)) if rng.random() < share
    ]
    order = rng.random()
    if order < 0.34:
        text = f"{subject} {action} {place}"
    elif order < 0.44:
        text = f"{subject} {action}"
    elif order < 0.54:
        text = f"{subject} {place}"
    elif order < 0.62:
        text = f"{place} {subject} {action}"
    elif order < 0.70:
        text = ", ".join((subject, action, place.split(" ", 1)[1]))
    elif order < 0.77:
        text = f"{subject} and {_make_subject(rng)} {action} {place}"
    elif order < 0.83:
        text = f"{subject} {'are' if subject.split()[0] in _COUNTS else 'is'} {action} {place}"
    elif order < 0.91:
        text = f"{_pick_phrase(rng, rare.SHOTS)} {subject} {action} {rng.choice((place, ''))}"
    elif order < 0.95:
        text = f"{action}, {subject} {place}"
    else:
        thing, event = _make_thing(rng), rng.choice(("appears", "watches", "flies by", "is nearby"))
        text = f"{subject} {action} {place}. {thing} {event}"
    rng.shuffle(extras)
    for extra in extras:
        text = f"{extra}, {text}" if rng.random() < 0.15 else f"{text}{rng.choice((', ', ', ', ' '))}{extra}"
    return " ".join(text.split())


def _make_unsafe(rng: random.Random) -> str:
    while True:
        text = _make_unsafe_once(rng)
        if not _MINORS & set(re.findall(r"[\w-]+", text)):
            return text


def _make_unsafe_once(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.25:
        return _make_general(rng, before=_pick(rng, _SEXUAL_BEFORE), noun=_pick(rng, _ADULTS))
    if kind < 0.42:
        return _make_general(rng, before=_pick(rng, _UNSAFE_BEFORE), noun=_pick(rng, _LIVING))
    if kind < 0.75:
        return _make_general(rng, tail=_pick(rng, _UNSAFE_BEHIND))
    return rng.choice(_UNSAFE_WHOLE).format(
        a=_make_subject(rng, noun=_pick(rng, _LIVING)),
        b=_make_thing(rng),
        place=_make_place(rng),
        when=_pick_phrase(rng, rare.WHEN),
        style=_pick_phrase(rng, rare.STYLES),
        person=rng.choice(_ADULTS),
    )


# ---- how users type


def _roughen(rng: random.Random, text: str) -> str:
    if rng.random() < 0.05:
        text = _mistype(rng, text)
    if rng.random() < 0.06:
        text = f"the {_pick(rng, _DREAMERS)}{rng.choice(('&#39;', '&#39;', chr(39), '’'))}s dream, {text}"
    kind = rng.random()
    if kind < 0.3:
        text = text[:1].upper() + text[1:]
    elif kind < 0.34:
        text = text.title().replace("’S", "’s").replace("'S", "'s").replace("&#39;S", "&#39;s")
    elif kind < 0.36:
        text = text.upper() if "&#39;" not in text else text
    if rng.random() < 0.2:
        text += _pick(rng, (".", "...", "!!", " .", ",", "!"), 1.5)
    if rng.random() < 0.05:
        text = text.replace(", ", rng.choice((",", " ,", ",, ")), 1)
    if rng.random() < 0.03:
        text = text.replace(" ", rng.choice(("  ", "\n")), 1)
    if rng.random() < 0.02:
        text = f"prompt: {text}"
    if rng.random() < 0.05:
        text += rng.choice((" 4k", ", 8k", ", hd", " 4K"))
    return text + _make_flags(rng) if rng.random() < 0.16 else text


def _make_flags(rng: random.Random) -> str:
    flags = (
        f" -ar {rng.choice(('16:9', '9:16', '1:1', '4:5'))}",
        f" -motion {rng.randint(0, 4)}",
        f" --motion {rng.randint(1, 4)}",
        f" -gs {rng.randint(8, 24)}",
        f" -camera {rng.choice(('zoom in', 'zoom out', 'pan left', 'pan right'))}",
        f" -seed {rng.randint(1, 9999999)}",
        f" -fps {rng.choice((8, 12, 24))}",
        " -neg blurry, ugly, low quality",
    )
    return "".join(rng.sample(flags, rng.choice((1, 1, 1, 2))))


def _mistype(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4]
    if not long:
        return text
    i = rng.choice(long)
    word, cut = words[i], rng.randint(1, len(words[i]) - 3)
    wrong = (
        word[:cut] + word[cut + 1 :],
        word[:cut] + word[cut] + word[cut:],
        word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :],
    )
    words[i] = rng.choice(wrong)
    return " ".join(words)


def _vary(rng: random.Random, text: str) -> str:
    """Return the text as somebody types it who tries again."""
    words = text.split(" ")
    coloured = [i for i, word in enumerate(words) if word.lower() in COLOURS]
    kind = rng.random()
    if coloured and kind < 0.5:
        words[rng.choice(coloured)] = _pick(rng, tuple(COLOURS))
        return " ".join(words)
    if kind < 0.3:
        return f"{text}, {_pick_phrase(rng, rare.STYLES)}"
    if kind < 0.45:
        return text + _make_flags(rng)
    if kind < 0.6 and len(words) > 5:
        return " ".join(words[:-1])
    if kind < 0.75:
        return text.upper() if text.islower() and kind < 0.65 else f"{text}!"
    if kind < 0.9:
        adjective = _pick_adjective(rng)
        return text if adjective in _MINORS else f"{adjective} {text}"
    return _mistype(rng, text)


def _make_odd(rng: random.Random, kind: str) -> str:
    """Return what a filter should find: another script, too short or long, a keyword, a link, symbols, nothing."""
    if kind == "script":
        return _pick_phrase(rng, rare.NON_LATIN) + rng.choice(("", "", " -ar 16:9", ", 4k", f" {rng.randint(1, 9)}"))
    if kind == "short":
        return rng.choice((_pick_noun(rng), f"{_pick_adjective(rng)} {_pick_noun(rng)}", "test", "hi", _invent(rng)))
    if kind == "long":
        return ". ".join(_make_general(rng) for _ in range(rng.randint(8, 12)))
    if kind == "keyword":
        return rng.choice(
            (f"test test {_pick_noun(rng)} {_make_action(rng)}", f"lorem ipsum dolor {_invent(rng)} sit amet")
        )
    if kind == "link":
        link = f"https://example.com/{_invent(rng)}.png"
        return rng.choice((f"{link} {_make_general(rng)}", f"{_make_general(rng)} {link}"))
    if kind == "symbols":
        return rng.choice(
            (
                f"*** {_pick_noun(rng)} *** >>> !!! ###",
                f"{_make_subject(rng)} @@@@ %%% $$$ ^^^^ &&&& ====",
                "!!! ??? !!!",
            )
        )
    return rng.choice(("", " ", "-ar 16:9"))
