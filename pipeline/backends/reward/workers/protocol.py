"""The loop of a scorer that lives in an environment of its own: JSON lines on standard input and output.

Standard library alone, any Python from 3.8 on. A worker that somebody else writes, in whatever language, need only keep
to these lines, in the order in which they come:

    in   {"protocol": 1, "scorer": "visionreward", "model": "owner/name", "revision": "40 hex digits"}
    out  {"protocol": 1, "scorer": "visionreward", "model": "owner/name", "revision": "40 hex digits"}
    in   {"id": "0", "clip": "/tmp/x.mp4", "text": "a fox", "questions": [{"id": "q1", "question": "Is a fox ...?"}]}
    out  {"id": "0", "answers": {"q1": "yes"}}       one answer, yes or no, to each question
     or  {"id": "0", "dims": {"VQ": 0.1}}            numbers by name
     or  {"id": "0", "error": "why this clip has no score"}

The second line says what was loaded, and comes when it is. One line answers one clip, in the order asked; the next clip
may be sent before. The end of the input is the end of the work.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

VERSION = 1

Score = Callable[[str, str, list[dict[str, str]]], dict[str, Any]]
"""(path of the clip, text, questions) -> answers or dims"""


class CannotScore(Exception):
    """This clip has no score; another may have. Any other exception ends the worker, which is then started anew."""


def serve(
    scorer: str, load: Callable[[str, str], tuple[str, Score]], lines: TextIO | None = None, out: TextIO | None = None
) -> None:
    """Answer until the input ends.

    `load(model, revision)` returns (revision that was loaded, score); `score(clip, text, questions)` returns
    {"answers": {...}} or {"dims": {...}} and raises CannotScore.
    """
    lines = sys.stdin if lines is None else lines
    out = out or only_lines()
    hello = json.loads(lines.readline() or "{}")
    if hello.get("protocol") != VERSION or hello.get("scorer") != scorer:
        raise SystemExit(
            f"asked for protocol {hello.get('protocol')} of {hello.get('scorer')}, this is {VERSION} of {scorer}"
        )
    revision, score = load(hello["model"], hello["revision"])
    say(out, {"protocol": VERSION, "scorer": scorer, "model": hello["model"], "revision": revision})
    for line in lines:
        item = json.loads(line)
        try:
            answer = score(item["clip"], item["text"], item["questions"])
        except CannotScore as fault:
            answer = {"error": str(fault)}
        say(out, dict(answer, id=item["id"]))


def only_lines() -> TextIO:
    """Return what was standard output, and send what libraries print to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def say(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()
