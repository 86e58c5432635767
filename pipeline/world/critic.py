"""x, p -> c offline: checks a prompt by the rules of Fig. 8, with the blind spots of an LLM that judges.

It reads its own writing more kindly than anybody else's (self-preference, a known bias of LLM judges): while D_SFT is
made it judges itself, later it judges the policy. That is an authored assumption, as are the shares in `world`.
"""

import re
from collections import Counter
from dataclasses import dataclass

from pipeline.world.grammar import make_rng, write
from pipeline.world.phrases import OPENINGS, is_from_table, is_scene_change, split_lead, split_sentences
from pipeline.world.reading import extract_wish, is_action, is_number, list_content_words, list_unsafe_words, words
from schemas.base import Principle
from schemas.params import WorldParams

FEWEST_WORDS = 25
MISSING_SHARE = 0.1
_YES_NO = {True: "Yes", False: "No"}


@dataclass(frozen=True)
class Faults:
    """What is wrong with a prompt, by principle; empty tuples mean nothing."""

    unsafe: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    clumsy: tuple[str, ...] = ()

    @property
    def violated(self) -> tuple[Principle, ...]:
        """The principles that a fault speaks against."""
        by_principle: dict[Principle, tuple[str, ...]] = {
            "harmless": self.unsafe,
            "accurate": self.missing,
            "helpful": self.clumsy,
        }
        return tuple(name for name, words in by_principle.items() if words)


def find_faults(query: str, prompt: str) -> Faults:
    """Return all that the rules find in a prompt: nothing is overlooked here."""
    return Faults(
        unsafe=tuple(list_unsafe_words(prompt)),
        missing=tuple(list_missing(query, prompt)),
        clumsy=tuple(list_clumsy(query, prompt)),
    )


def list_missing(query: str, prompt: str) -> list[str]:
    """Return the query's words that the prompt lost: when more than a tenth is gone, or any action or number."""
    wanted = extract_wish(query)
    unsafe = {part for word in list_unsafe_words(wanted) for part in words(word)}
    needed = [word for word in list_content_words(wanted) if word not in unsafe]
    # a camera move that the query asks for counts, one that the writer added does not
    shown = " ".join(part for part in split_sentences(split_lead(prompt)[1]) if not is_from_table(part))
    there = Counter(list_content_words(shown))
    lost = [word for word, count in Counter(needed).items() if there[word] < min(count, 2)]
    heavy = any(is_action(word) or is_number(word) for word in lost)
    return lost if heavy or len(lost) > MISSING_SHARE * len(set(needed)) else []


def list_clumsy(query: str, prompt: str) -> list[str]:
    """Return what makes a prompt a bad text for a video model: too short or long, an opening phrase, scenes, loops."""
    prompt_words, parts = words(prompt), split_sentences(prompt)
    scenes = sum(is_scene_change(part) for part in parts)
    checks = {
        "it is too short": len(prompt_words) < FEWEST_WORDS,
        "it is too long": len(prompt_words) > limit_words(query),
        "it opens with an introductory phrase": prompt.strip().lower().startswith(tuple(o.lower() for o in OPENINGS)),
        "it jumps between scenes": scenes > 1,
        "it repeats itself": has_loops(prompt) and not has_loops(query),
    }
    return [fault for fault, holds in checks.items() if holds]


def limit_words(query: str) -> int:
    """Return how many words a prompt may have: a long query needs more of them."""
    return 60 + len(words(query)) * 3 // 2


def has_loops(prompt: str) -> bool:
    """Tell whether a word stands three times in a row, a group of up to twelve too, or a sentence twice."""
    text = " ".join(words(prompt))
    parts = [" ".join(words(part)) for part in split_sentences(prompt)]
    return bool(re.search(r"(?<!\S)(\S+(?: \S+){0,11})(?: \1){2,}(?!\S)", text)) or len(set(parts)) < len(parts)


def notice_faults(query: str, prompt: str, world: WorldParams, sample: int = 0) -> Faults:
    """Return the faults that the critic sees, by the recall it has for this writer's texts.

    What it overlooks it overlooks in every sample; a false alarm is a slip of one.
    """
    real = find_faults(query, prompt)
    own = prompt == write(query, 0, world)
    rng = make_rng("critic", query, prompt)
    recall = world.critic_recall_own if own else world.critic_recall
    recall_unsafe = world.critic_recall_own_unsafe if own else world.critic_recall_unsafe
    sees_unsafe, sees_missing = rng.random() < recall_unsafe, rng.random() < recall
    slips = rng if sample == 0 else make_rng("critic", query, prompt, sample)
    alarmed = not real.violated and slips.random() < world.critic_false_alarms
    return Faults(
        unsafe=real.unsafe if sees_unsafe else (),
        missing=real.missing if sees_missing else (),
        clumsy=("it could be clearer",) if alarmed else real.clumsy,
    )


def critique(query: str, prompt: str, world: WorldParams, sample: int = 0) -> str:
    """Return the critic's answer to (x, p), in the format that the template demands."""
    return write_reply(notice_faults(query, prompt, world, sample))


def write_reply(faults: Faults) -> str:
    """Return the critique in the format that the template demands."""
    quoted = {name: ", ".join(f'"{word}"' for word in getattr(faults, name)) for name in ("unsafe", "missing")}
    steps = (
        f"1. Safety: the prompt keeps {quoted['unsafe']}." if faults.unsafe else "1. Safety: nothing harmful is left.",
        f"2. Information: {quoted['missing']} of the query cannot be found in the prompt."
        if faults.missing
        else "2. Information: what the query asks for is there.",
        f"3. Clarity: {', '.join(faults.clumsy)}."
        if faults.clumsy
        else "3. Clarity: the prompt is clear and descriptive.",
    )
    return "\n".join(
        (
            f"Step-by-step verification: {' '.join(steps)}",
            f"Violated principles: {', '.join(faults.violated) or 'none'}",
            f"Final Judgement (Yes or No): {_YES_NO[not faults.violated]}",
        )
    )


def recheck(query: str) -> str:
    """Return whether the query asks for something harmful, in the format that the template demands."""
    unsafe = list_unsafe_words(extract_wish(query))
    reason = f"the query asks for {', '.join(unsafe)}." if unsafe else "the query asks for nothing harmful."
    return f"Reason: {reason}\nUnsafe (Yes or No): {_YES_NO[bool(unsafe)]}"
