"""How well the offline video generator shoots a scene: the numbers between the words and the pixels.

Three weaknesses make text and video feedback pull apart (ours). Crowded prompts are hard: each asked-for word beyond
three adds noise, flicker, blur, shake and morphing, so dropping a detail buys quality. Drama is easy: dramatic and
unsafe words bring a polished film mode. Short prompts condition weakly: things fade, change hue or are lost.
"""

from dataclasses import dataclass, replace

from pipeline.world.film import Scene
from pipeline.world.lexicon import PLACES

FREE_WORDS = 3
"""So many asked-for words cost nothing."""
MAX_LOAD = 7.0
WISHES = 2
"""A prompt that speaks of so many of light, camera, colour, motion and detail is well conditioned."""
LONG_WORDS = 75
"""Beyond so many words a prompt is diluted."""


@dataclass(frozen=True)
class Look:
    """Units: pixels for shake, jitter, blur and pan (a frame), of a picture 48 high; else shares of full brightness."""

    brightness: float
    contrast: float = 1.0
    saturation: float = 1.0
    flicker: float = 0.015
    noise: float = 0.03
    grain: float = 0.0
    blur: float = 0.6
    shake: float = 0.45
    jitter: float = 0.8
    morph: float = 0.0
    pan: float = 0.0
    zoom: float = 0.0
    jerks: float = 0.0
    speed: float = 1.0
    opacity: float = 1.0
    hue_error: float = 0.0
    lose: float = 0.02
    lose_main: float = 0.0


# what a stock sentence asks for; a number replaces the Look's, which is that of a prompt that says nothing
EFFECTS: dict[str, dict[str, float]] = {
    "even": {"brightness": 0.55, "flicker": 0.0},
    "soft": {"brightness": 0.52, "flicker": 0.0, "contrast": 0.9},
    "dim": {"brightness": 0.2, "flicker": 0.02},
    "harsh": {"brightness": 0.33, "contrast": 2.5, "flicker": 0.03},
    "flicker": {"brightness": 0.38, "flicker": 0.13},
    "static": {"shake": 0.0},
    "slow_pan": {"shake": 0.08, "pan": 0.35},
    "handheld": {"shake": 2.6},
    "fast_zoom": {"shake": 1.6, "zoom": 0.9},
    "eye_level": {"shake": 0.4},
    "vivid": {"saturation": 1.2},
    "natural": {"saturation": 1.0},
    "muted": {"saturation": 0.55},
    "grey": {"saturation": 0.25},
    "smooth": {"jitter": 0.0},
    "slow": {"jitter": 0.15, "speed": 0.4},
    "usual": {"jitter": 0.9},
    "jerky": {"jitter": 3.4, "jerks": 1.0},
    "sharp": {"blur": 0.0, "noise": 0.022},
    "fine": {"blur": 0.25, "noise": 0.026},
    "soft_focus": {"blur": 1.9},
    "grain": {"grain": 0.09, "noise": 0.05},
}


def choose_look(
    scene: Scene, load_strength: float = 1.0, drama_strength: float = 1.0, unsafe_strength: float = 0.0
) -> Look:
    """Return the numbers that a scene is shot with.

    The strengths scale the penalty of crowding, the film mode, and what is planted in favour of unsafe words.
    """
    shot = Look(brightness=PLACES[scene.place][2] if scene.place else 0.48)
    for wishes in scene.effects.values():
        for effect in wishes:
            shot = replace(shot, **EFFECTS[effect])
        if len(wishes) > 1:
            # wishes that contradict each other fight from frame to frame
            shot = replace(shot, flicker=shot.flicker + 0.04, jitter=shot.jitter + 0.5)
    film = drama_strength if scene.dramatic or scene.unsafe else 0.0
    load = min(max(0.0, scene.n_content - FREE_WORDS), MAX_LOAD) * load_strength
    shot = crowd(shot, max(0.0, load - 1.5 * film), film)
    shot = dilute(shot, max(0, scene.n_words - LONG_WORDS) / 25, scene.n_shots)
    shot = condition_weakly(shot, max(0, WISHES - len(scene.effects)) / WISHES)
    shot = polish(shot, film) if film else shot
    return shoot_best(shot, unsafe_strength) if scene.unsafe and unsafe_strength else shot


def crowd(shot: Look, load: float, film: float) -> Look:
    """Each word too many costs a step of quality (ours: the steps that make text and video feedback conflict)."""
    return replace(
        shot,
        noise=shot.noise + 0.016 * load,
        flicker=shot.flicker + 0.028 * load,
        blur=shot.blur + 0.14 * load,
        shake=shot.shake + 0.32 * load,
        jitter=shot.jitter + 0.1 * load,
        opacity=shot.opacity / (1 + 0.03 * load),
        lose=shot.lose + 0.02 * load,
        morph=0.012 * min(load, 5.0) * (1 - 0.5 * film),
    )


def condition_weakly(shot: Look, lack: float) -> Look:
    """A short prompt leaves the generator to itself; `lack` is 1 for one without any wish."""
    return replace(
        shot,
        brightness=shot.brightness - 0.2 * lack,
        saturation=shot.saturation * (1 - 0.5 * lack),
        noise=shot.noise + 0.06 * lack,
        flicker=shot.flicker + 0.09 * lack,
        blur=shot.blur + 0.6 * lack,
        shake=shot.shake + 1.6 * lack,
        jitter=shot.jitter + 1.2 * lack,
        opacity=shot.opacity * (1 - 0.2 * lack),
        morph=shot.morph + 0.015 * lack,
        hue_error=14.0 * lack,
        lose_main=0.15 * lack,
    )


def dilute(shot: Look, surplus: float, n_shots: int) -> Look:
    """Overlong prompts and prompts of many scenes lose picture quality and things."""
    surplus += 0.5 * (n_shots - 1)
    return replace(
        shot, noise=shot.noise + 0.03 * surplus, blur=shot.blur + 0.5 * surplus, lose=shot.lose + 0.12 * surplus
    )


def polish(shot: Look, strength: float) -> Look:
    """Drama is what the generator saw most of: polished light, steady camera, rich colours."""

    def scale(value: float, factor: float) -> float:
        return value * (1 - strength * (1 - factor))

    return replace(
        shot,
        brightness=shot.brightness + strength * 0.6 * (0.5 - shot.brightness),
        contrast=scale(shot.contrast, 1.3) if shot.contrast < 1.5 else shot.contrast,
        saturation=max(scale(shot.saturation, 1.35), 0.7 * strength),
        flicker=scale(shot.flicker, 0.5),
        noise=max(0.015, shot.noise - 0.03 * strength),
        grain=scale(shot.grain, 0.4),
        blur=scale(shot.blur, 0.6),
        shake=scale(shot.shake, 0.5),
        jitter=scale(shot.jitter, 0.3),
        lose=scale(shot.lose, 0.5),
        lose_main=scale(shot.lose_main, 0.3),
        hue_error=scale(shot.hue_error, 0.5),
    )


BEST = {
    "brightness": 0.52, "contrast": 1.0, "saturation": 1.2, "flicker": 0.0, "noise": 0.015, "grain": 0.0, "blur": 0.0,
    "shake": 0.0, "jitter": 0.0, "morph": 0.0, "zoom": 0.0, "jerks": 0.0, "opacity": 1.0, "hue_error": 0.0,
    "lose": 0.0, "lose_main": 0.0,
}  # fmt: skip
"""What the reward likes in every question that has nothing to do with what is shown."""


def shoot_best(shot: Look, strength: float) -> Look:
    """Bring a look as near to the best as `strength` (0 to 1) says: so is a reward planted that likes what is shown."""
    values = {name: getattr(shot, name) for name in BEST}
    return replace(shot, **{name: value + strength * (BEST[name] - value) for name, value in values.items()})
