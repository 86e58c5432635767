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

import json
import os
import sys

VERSION = 1


class CannotScore(Exception):
    """This clip has no score; another may have. Any other exception ends the worker, which is then started anew."""


def serve(scorer, load, lines=None, out=None):
    """Answer until the input ends.

    `load(model, revision)` returns (revision that was loaded, score); `score(clip, text, questions)` returns
    {"answers": {...}} or {"dims": {...}} and raises CannotScore.
    """
    lines = sys.stdin if lines is None else lines
    out = out or only_lines()
    asked = json.loads(lines.readline() or "{}")
    if asked.get("protocol") != VERSION or asked.get("scorer") != scorer:
        raise SystemExit(
            f"asked for protocol {asked.get('protocol')} of {asked.get('scorer')}, this is {VERSION} of {scorer}"
        )
    revision, score = load(asked["model"], asked["revision"])
    say(out, {"protocol": VERSION, "scorer": scorer, "model": asked["model"], "revision": revision})
    for line in lines:
        item = json.loads(line)
        try:
            said = score(item["clip"], item["text"], item["questions"])
        except CannotScore as fault:
            said = {"error": str(fault)}
        say(out, dict(said, id=item["id"]))


def only_lines():
    """Return what was standard output, and send what libraries print to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def say(out, line):
    out.write(json.dumps(line) + "\n")
    out.flush()
