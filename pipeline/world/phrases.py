"""The stock sentences that end the offline teacher's prompts, and what each means to the offline video generator.

`PHRASES` maps an aspect (light, camera, colour, motion, detail) to its sentences; each is a Phrase (sentence, effect,
cues): the words as the teacher writes them, the tag the generator acts on, and lower-case fragments by which the same
wish is recognised in anybody's wording. `read_effects` reads a prompt's wishes (aspect -> effects), `read_content`
the rest that it shows, `is_scene_change` finds a jump to another scene.
Ours: the papers' world is a real video model, which needs no such table.
"""

import re
from typing import NamedTuple


class Phrase(NamedTuple):
    sentence: str
    effect: str
    cues: tuple[str, ...]


PHRASES: dict[str, tuple[Phrase, ...]] = {
    "light": (
        Phrase("Bright even light fills the whole scene.", "even", ("even light", "evenly lit", "even lighting")),
        Phrase("Soft daylight falls gently over everything.", "soft", ("soft daylight", "soft light", "gentle light")),
        Phrase("Only a dim glow reaches the scene.", "dim", ("dim glow", "dim light", "low light", "dimly lit")),
        Phrase(
            "Harsh spotlights throw hard black shadows.", "harsh", ("harsh spotlight", "harsh light", "hard shadow")
        ),
        Phrase("Neon lamps flicker on and off.", "flicker", ("flicker on", "flickering light", "strobe")),
    ),
    "camera": (
        Phrase("The camera stays static on a tripod.", "static", ("camera stays static", "static camera", "tripod")),
        Phrase("The camera pans slowly from left to right.", "slow_pan", ("pans slowly", "slow pan", "slowly pans")),
        Phrase("A handheld camera shakes along with every step.", "handheld", ("handheld", "shaky camera")),
        Phrase("The camera zooms in fast and swings around.", "fast_zoom", ("zooms in fast", "fast zoom", "whip pan")),
        Phrase("The shot is framed at eye level.", "eye_level", ("eye level",)),
    ),
    "colour": (
        Phrase("The colors are vivid and rich.", "vivid", ("are vivid", "vivid color", "vivid colour", "rich color")),
        Phrase("The colors look natural and balanced.", "natural", ("look natural", "natural color", "natural colour")),
        Phrase("The colors are muted and pale.", "muted", ("are muted", "muted color", "muted colour", "washed out")),
        Phrase("The palette turns almost to gray.", "grey", ("almost to gray", "desaturated", "monochrome")),
    ),
    "motion": (
        Phrase("Every movement is smooth and steady.", "smooth", ("smooth and steady", "smooth motion")),
        Phrase("Everything moves in calm slow motion.", "slow", ("slow motion", "moves slowly")),
        Phrase("The action moves at its usual pace.", "usual", ("usual pace",)),
        Phrase("The action jumps ahead in fast cuts.", "jerky", ("fast cuts", "quick cuts", "jerky")),
    ),
    "detail": (
        Phrase("The focus is sharp from front to back.", "sharp", ("focus is sharp", "sharp focus", "sharp detail")),
        Phrase("Fine textures can be seen up close.", "fine", ("fine texture", "fine detail", "highly detailed")),
        Phrase("A soft focus blurs the edges.", "soft_focus", ("soft focus", "out of focus")),
        Phrase("Grain lies over the picture like old film.", "grain", ("grain lies", "film grain", "grainy")),
    ),
}

# what a prompt's first sentence begins with before it says what is seen
LEADS = ("The scene shows", "A clear view of", "In this scene we see")
# Fig. 7 rule 6 forbids them
OPENINGS = ("The video opens with", "The video begins with", "The video shows")
# a prompt that jumps between scenes is too complicated for the generator (Fig. 7 rule 3)
SCENE_CHANGES = (
    "Then the scene changes to a crowded market full of noise.",
    "Suddenly the view jumps to a stormy sea far away.",
    "Meanwhile a long parade passes through another town.",
    "After that the scene cuts to a dark office at midnight.",
    "Next we are inside a moving train full of strangers.",
    "Finally the scene ends on a stage in front of a huge crowd.",
)

_SENTENCES = frozenset(phrase.sentence.lower().rstrip(".") for aspect in PHRASES.values() for phrase in aspect)
_STARTS = frozenset(tuple(sentence.split()[:2]) for sentence in _SENTENCES)
_LEAD = re.compile(rf"^(?:{'|'.join((*LEADS, *OPENINGS))})\b[\s:,]*", re.IGNORECASE)
_CHANGE = re.compile(
    r"^(?:(?:then|suddenly|meanwhile|next|finally|after that)\b.*\b(?:scene|view|town|inside|another)\b"
    r"|the (?:scene|view) (?:changes|cuts|jumps|switches)\b)",
    re.IGNORECASE,
)


def split_sentences(prompt: str) -> list[str]:
    """Return the sentences of a prompt, each with its full stop."""
    return [part for part in re.split(r"(?<=[.!?])\s+", prompt.strip()) if part]


def read_effects(prompt: str) -> dict[str, tuple[str, ...]]:
    """Return, for each aspect that the prompt speaks of, the effects it asks for; two of one aspect contradict."""
    text = " ".join(prompt.lower().split())
    by_aspect = {
        aspect: tuple(phrase.effect for phrase in phrases if any(cue in text for cue in phrase.cues))
        for aspect, phrases in PHRASES.items()
    }
    return {aspect: names for aspect, names in by_aspect.items() if names}


def is_stock(sentence: str) -> bool:
    """Return whether a sentence only speaks of light, camera, colour, motion or detail."""
    text = " ".join(sentence.lower().split())
    return is_from_table(text) or (tuple(text.split()[:2]) in _STARTS and bool(read_effects(text)))


def is_from_table(sentence: str) -> bool:
    """Return whether a sentence stands in PHRASES as it is."""
    return " ".join(sentence.lower().split()).rstrip(".!?") in _SENTENCES


def is_scene_change(sentence: str) -> bool:
    """Return whether a sentence jumps to another scene."""
    return bool(_CHANGE.match(sentence))


def split_lead(text: str) -> tuple[str, str]:
    """Split a prompt into its lead or opening ("The scene shows", "The video opens with") and the rest."""
    match = _LEAD.match(text)
    return (match.group().strip(" :,"), text[match.end() :]) if match else ("", text)


def read_content(prompt: str) -> str:
    """Return what the prompt shows: its text without lead, stock sentences and full stop."""
    shown = " ".join(sentence for sentence in split_sentences(prompt) if not is_stock(sentence))
    return split_lead(shown)[1].rstrip(".!? ")
