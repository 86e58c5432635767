"""What a backend says of itself, for all who prepare, plan or pay for a run; its params class carries it (`needs`)."""

from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "gpu", "host"]
"""cpu: little enough for any machine; gpu: this machine's, its CPU where there is none; host: somebody else's"""


@dataclass(frozen=True)
class Weights:
    """A model to load: owner/name on the Hub with its 40-hex commit, or a folder without one."""

    model: str
    revision: str | None


@dataclass(frozen=True)
class Reading:
    """What a model reads for one score: its weights (0: as its name says) and the tokens of a clip and its text.

    `asks` tells that it does so for each question. For a plan, where nothing is measured.
    """

    weights: float
    tokens: int
    asks: bool = False


@dataclass(frozen=True)
class Needs:
    """What a backend needs before it works, where it works and what is paid for."""

    device: Device
    extras: tuple[str, ...] = ()
    """extras of our package (`pip install -e '.[render]'`)"""
    weights: Weights | None = None
    """the model that it loads, which must be pinned"""
    keys: tuple[str, ...] = ()
    """environment variables that hold a key; all must be set"""
    address: str | None = None
    """the base URL that it asks"""
    paid_by: Literal["call", "clip"] | None = None
    """the unit that somebody takes money for"""
    usd_per_unit: float | None = None
    """US dollars a unit; None where it is not known beforehand"""
    spreads: bool = True
    """whether its map may be spread over workers, each with a backend of its own"""
    program: tuple[str, ...] = ()
    """the program and arguments of the process that it runs as, in an environment of its own"""
    stand_in: bool = False
    """whether it is small software in a model's place, whose figures never stand beside published ones"""
    reading: Reading | None = None
    """of a reward model; None where nobody can say"""
    of_base_model: bool = False
    """whether what writes was trained here, so that the terms of base_model hold"""
