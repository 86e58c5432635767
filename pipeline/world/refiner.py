"""x, p, c -> p_refined offline: mends what the critique names and keeps the prompt's other sentences as they are.

Whatever is named, a refined prompt is harmless and holds all of the query, as Fig. 8 demands of every refinement.
"""

import random

from pipeline.world.critic import FEWEST_WORDS, limit_words, list_clumsy, list_missing
from pipeline.world.grammar import choose_stock_sentences, make_rng
from pipeline.world.phrases import (
    LEADS,
    OPENINGS,
    PHRASES,
    is_scene_change,
    is_stock,
    read_content,
    read_effects,
    split_lead,
    split_sentences,
)
from pipeline.world.reading import extract_wish, neutralise, words
from schemas.base import Principle


def refine(query: str, prompt: str, named: tuple[Principle, ...]) -> str:
    """Return the prompt without the faults that were `named`."""
    rng = make_rng("refine", query, prompt)
    parts = list(dict.fromkeys(split_sentences(prompt)))
    lead, _ = split_lead(prompt.strip())
    changes = [part for part in parts if is_scene_change(part)]
    stock = [neutralise(part) for part in parts if is_stock(part)]
    shown = neutralise(read_content(" ".join(part for part in parts if not is_scene_change(part))))
    if not shown or list_missing(query, prompt):
        shown = neutralise(extract_wish(query))
        stock = [part for part in stock if part.rstrip(".") not in shown]
    if "helpful" not in named:
        return " ".join((f"{lead} {shown}.".lstrip(), *changes, *stock))
    if not lead or lead.lower() in {opening.lower() for opening in OPENINGS}:
        lead = rng.choice(LEADS)
    if list_clumsy(query, " ".join((f"{lead} {shown}.", *_fit_length(query, shown, stock, rng)))):
        shown = neutralise(extract_wish(query))
    return " ".join((f"{lead} {shown}.", *_fit_length(query, shown, stock, rng)))


def _fit_length(query: str, shown: str, stock: list[str], rng: random.Random) -> list[str]:
    """Drop stock sentences of a prompt that is too long, add some to one that is too short."""
    while stock and len(words(" ".join((shown, *stock)))) > limit_words(query):
        stock = stock[:-1]
    n_words = len(words(" ".join((shown, *stock))))
    if n_words < FEWEST_WORDS:
        spoken = read_effects(" ".join(stock))
        stock = [
            *stock,
            *choose_stock_sentences(n_words, rng, tuple(aspect for aspect in PHRASES if aspect not in spoken)),
        ]
    return stock
