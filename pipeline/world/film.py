"""What the offline video generator understands of a prompt, and the outlines that it draws.

`read_scene` turns words into a Scene; `cover_shape` is the outline of a shape. The offline reward reads its text and
looks for outlines with the same two functions: the world is authored, and the two agree by construction.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.world.lexicon import ACTIONS, COLOURS, DRAMATIC, DRAWABLE, HARMLESS, PLACES, UNSAFE
from pipeline.world.phrases import read_content, read_effects

MAX_SUBJECTS = 4
MAX_SHOTS = 4

# words that ask nothing of the picture
GLUE = frozenset(
    "a an the this that these those some any each every and or but nor of in on at to from with without by for as "
    "into onto over under near behind beside between through across inside outside around along above below off up "
    "down out toward towards against among is are was were be been being am it its itself his her hers their theirs "
    "they them he she him i me my we our us you your who whose which what where when while then there here have has "
    "had do does did so very just also not no all both one's scene shot video clip film footage frame view picture "
    "image camera shown seen shows showing depicts depicting features featuring appears visible captured set takes "
    "place suddenly after before afterwards meanwhile finally later next during".split()
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")
_CUT = re.compile(r"\b(?:then|afterwards|meanwhile|suddenly|finally|later|next|cut to|after that)\b")
_HARMLESS = re.compile(r"\b(?:" + "|".join(sorted(HARMLESS, key=len, reverse=True)) + r")\b")


@dataclass(frozen=True)
class Subject:
    """One thing to draw."""

    noun: str
    shape: str
    hue: int | None
    """Degrees; None for a grey of `lightness`."""
    lightness: float
    size: float
    """Height as a share of the picture's."""


@dataclass(frozen=True)
class Scene:
    """A prompt as the generator understands it."""

    subjects: tuple[Subject, ...]
    place: str | None
    motion: str
    speed: float
    effects: dict[str, tuple[str, ...]]
    n_words: int
    n_content: int
    """Different words outside the stock sentences that ask for something, drama apart."""
    n_shots: int
    dramatic: bool
    unsafe: tuple[str, ...]


def words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case."""
    return _WORD.findall(text.lower())


def read_scene(prompt: str, avoid: str = "") -> Scene:
    """Read a prompt: nouns that can be drawn with the colour before them, one place, the first action, the wishes.

    Things that `avoid`, a negative prompt, names are not drawn.
    """
    unwanted = {find_noun(word) for word in words(avoid)}
    shown = read_content(prompt)
    shown_words = words(shown)
    risky = tuple(word for word in words(_HARMLESS.sub(" ", shown.lower())) if word in UNSAFE)
    motion, speed = next((ACTIONS[word] for word in shown_words if word in ACTIONS), ("still", 0.1))
    wanted = {word for word in shown_words if word not in GLUE and word not in DRAMATIC}
    return Scene(
        subjects=tuple(thing for thing in read_subjects(shown_words) if thing.noun not in unwanted)[:MAX_SUBJECTS],
        place=next((word for word in shown_words if word in PLACES), None),
        motion=motion,
        speed=speed,
        effects=read_effects(prompt),
        n_words=len(words(prompt)),
        n_content=len(wanted),
        n_shots=min(1 + len(_CUT.findall(shown.lower())), MAX_SHOTS),
        dramatic=any(word in DRAMATIC for word in shown_words),
        unsafe=risky,
    )


def read_subjects(words: list[str]) -> tuple[Subject, ...]:
    """Return the things to draw, in order, each noun once."""
    by_noun: dict[str, Subject] = {}
    for i, word in enumerate(words):
        noun = find_noun(word)
        if (
            noun is None
            or noun in by_noun
            or (word in COLOURS and any(find_noun(after) for after in words[i + 1 : i + 3]))
        ):
            continue
        shape, hue, size = DRAWABLE[noun]
        lightness = 0.9
        for before in reversed(words[max(0, i - 3) : i]):
            if before in COLOURS:
                hue, lightness = COLOURS[before], _LIGHTNESS.get(before, 0.9)
                break
            if find_noun(before):
                break
        by_noun[noun] = Subject(noun, shape, hue, lightness, 0.22 + 0.4 * size)
    return tuple(by_noun.values())


def restore_colour(subject: Subject) -> Subject:
    """Return the subject in its own colour, whatever colour was asked for."""
    return replace(subject, hue=DRAWABLE[subject.noun][1], lightness=0.9)


_LIGHTNESS = {"white": 0.97, "silver": 0.75, "grey": 0.5, "black": 0.06}


def find_noun(word: str) -> str | None:
    """Return the noun of the lexicon that a word, perhaps a plural, stands for."""
    return next((form for form in (word, word.removesuffix("s"), word.removesuffix("es")) if form in DRAWABLE), None)


# Each outline is a field over unit coordinates (x to the right, y down, -0.5 to 0.5): positive inside.
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Field: TypeAlias = Callable[[Floats, Floats], Floats]


def _oval(x: Floats, y: Floats, cx: float, cy: float, a: float, b: float) -> Floats:
    return (1 - np.sqrt(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2)) * min(a, b)


def _bar(x: Floats, y: Floats, cx: float, cy: float, a: float, b: float) -> Floats:
    return np.minimum(a - abs(x - cx), b - abs(y - cy))


def _union(*fields: Floats) -> Floats:
    return np.maximum.reduce(fields)


OUTLINES: dict[str, Field] = {
    "animal": lambda x, y: _union(
        _oval(x, y, -0.05, 0.02, 0.36, 0.2),
        _oval(x, y, 0.33, -0.2, 0.16, 0.15),
        _bar(x, y, -0.26, 0.32, 0.06, 0.18),
        _bar(x, y, 0.14, 0.32, 0.06, 0.18),
    ),
    "bird": lambda x, y: _union(
        _oval(x, y, 0, 0.05, 0.14, 0.3),
        np.minimum(0.5 - abs(x), 0.1 - abs(y - 0.05 + 0.5 * abs(x))),
    ),
    "fish": lambda x, y: _union(
        _oval(x, y, 0.08, 0, 0.36, 0.2), np.minimum(np.minimum(x + 0.5, -0.12 - x), -x - 0.12 - abs(y) + 0.06)
    ),
    "person": lambda x, y: _union(
        _oval(x, y, 0, -0.36, 0.13, 0.14), _bar(x, y, 0, -0.02, 0.19, 0.22), _bar(x, y, 0, 0.32, 0.12, 0.18)
    ),
    "vehicle": lambda x, y: _union(
        _bar(x, y, 0, 0.08, 0.5, 0.15),
        _bar(x, y, -0.06, -0.14, 0.26, 0.12),
        _oval(x, y, -0.28, 0.26, 0.12, 0.12),
        _oval(x, y, 0.28, 0.26, 0.12, 0.12),
    ),
    "tall": lambda x, y: np.minimum(0.5 - abs(y), (0.12 + 0.16 * (y + 0.5)) - abs(x)),
    "round": lambda x, y: _oval(x, y, 0, 0, 0.42, 0.42),
    "flat": lambda x, y: _bar(x, y, 0, 0, 0.45, 0.24),
}


def cover_shape(shape: str, x: Floats, y: Floats, pixels: float) -> Floats:
    """Return the coverage, 0 to 1, of a shape that is `pixels` high; x and y in units of its height from its centre."""
    return np.clip(OUTLINES[shape](x, y) * pixels + 0.5, 0, 1)


def mix_colour(hue: float | None, saturation: float, value: float) -> npt.NDArray[np.float32]:
    """Return red, green, blue in 0..1 of a hue in degrees; None is grey."""
    if hue is None:
        return np.full(3, value, np.float32)
    k = (np.array([5, 3, 1]) + hue / 60) % 6
    return (value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)
