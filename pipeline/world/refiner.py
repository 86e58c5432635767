"""x, p, c -> p_refined offline: mends what the critique names and keeps the prompt's other sentences as they are.

Whatever is named, a refined prompt is harmless and holds all of the query, as Fig. 8 demands of every refinement.
"""

import random

from pipeline.world.critic import FEWEST_WORDS, clumsy, longest, missing
from pipeline.world.grammar import rng_for, stock_sentences
from pipeline.world.phrases import (
    LEADS,
    OPENINGS,
    PHRASES,
    content,
    effects,
    is_scene_change,
    is_stock,
    sentences,
    unled,
)
from pipeline.world.reading import neutralised, wish, words
from schemas.base import Principle


def refine(query: str, prompt: str, named: tuple[Principle, ...]) -> str:
    """Return the prompt without the faults that were `named`."""
    rng = rng_for("refine", query, prompt)
    parts = list(dict.fromkeys(sentences(prompt)))
    lead, _ = unled(prompt.strip())
    changes = [part for part in parts if is_scene_change(part)]
    stock = [neutralised(part) for part in parts if is_stock(part)]
    shown = neutralised(content(" ".join(part for part in parts if not is_scene_change(part))))
    if not shown or missing(query, prompt):
        shown = neutralised(wish(query))
        stock = [part for part in stock if part.rstrip(".") not in shown]
    if "helpful" not in named:
        return " ".join((f"{lead} {shown}.".lstrip(), *changes, *stock))
    if not lead or lead.lower() in {opening.lower() for opening in OPENINGS}:
        lead = rng.choice(LEADS)
    if clumsy(query, " ".join((f"{lead} {shown}.", *_measured(query, shown, stock, rng)))):
        shown = neutralised(wish(query))
    return " ".join((f"{lead} {shown}.", *_measured(query, shown, stock, rng)))


def _measured(query: str, shown: str, stock: list[str], rng: random.Random) -> list[str]:
    """Drop stock sentences of a prompt that is too long, add some to one that is too short."""
    while stock and len(words(" ".join((shown, *stock)))) > longest(query):
        stock = stock[:-1]
    n_words = len(words(" ".join((shown, *stock))))
    if n_words < FEWEST_WORDS:
        spoken = effects(" ".join(stock))
        stock = [*stock, *stock_sentences(n_words, rng, tuple(aspect for aspect in PHRASES if aspect not in spoken))]
    return stock
