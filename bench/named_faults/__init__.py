"""Faults that matter, written by hand, by room: a person who changes this code would not see them, a user would."""

from bench.named_faults import (
    backends,
    curation,
    evaluation,
    llm,
    runtime,
    schemas,
    scoring,
    stages,
    text,
    train,
    video,
    vpo,
)
from bench.named_faults.fault import Fault

ROOMS = (schemas, runtime, text, llm, video, scoring, curation, evaluation, backends, stages, train, vpo)
FAULTS: list[Fault] = [fault for room in ROOMS for fault in room.FAULTS]
