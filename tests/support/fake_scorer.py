"""A worker that speaks the real protocol and misbehaves when a clip's text asks for it: `<what> [how often]`.

Usage: fake_scorer.py SCORER NOTES [model=... revision=... never looks ...]; NOTES is a folder it writes down in.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "pipeline/backends/reward/workers"))

from protocol import CannotScore, only_lines, serve

scorer, notes, *told = sys.argv[1:]
notes = Path(notes)
out = only_lines()


def note(name):
    """Write down one more `name`; return how many there are."""
    with (notes / name).open("a") as file:
        file.write(".")
    return (notes / name).stat().st_size


def yes_or_no(questions):
    """Answer by the words alone: yes where the question has an even number of letters."""
    return {item["id"]: "no" if len(item["question"]) % 2 else "yes" for item in questions}


def load(model, revision):
    note("started")
    (notes / f"pid{os.getpid()}").touch()
    if "never" in told:
        print("no CUDA device here", file=sys.stderr)
        raise SystemExit(3)
    if "hangs" in told:
        time.sleep(600)
    print("a library that prints")
    given = dict(item.split("=") for item in told if "=" in item)
    return given.get("revision", revision), score


def score(clip, text, questions):
    what, _, times = text.partition(" ")
    assert Path(clip).read_bytes()[4:8] == b"ftyp"
    with (notes / "clips").open("a") as file:
        print(clip, file=file)
    with (notes / "clips at once").open("a") as file:
        print(len(list(Path(clip).parent.iterdir())), file=file)
    seen = note("asked " + text.replace("/", "_"))
    answers = yes_or_no(questions)
    if "looks" in told:  # every file of a clip has its own answers
        digest = hashlib.sha256(Path(clip).read_bytes()).digest()
        answers = {item["id"]: "yes" if digest[at] % 2 else "no" for at, item in enumerate(questions)}
    first = questions[0]["id"] if questions else ""
    dims = dict.fromkeys(("VQ", "MQ", "TA", "VQ_z", "MQ_z", "TA_z"), 0.25)
    if what in ("dies", "hangs", "lies") and seen <= int(times or 10**6):
        if what == "dies":
            print("CUDA error: device-side assert triggered", file=sys.stderr)
            os._exit(139)
        if what == "lies":
            out.write("I think yes\n")
            out.flush()
        else:
            time.sleep(600)
    if what == "cannot":
        raise CannotScore("the clip has no sound track")
    if what == "twice":
        out.write('{"id": "0", "answers": {}}\n' * 2)
    if what == "other":
        out.write('{"id": "77", "answers": {}}\n')
    if what == "fewer":
        answers.pop(first)
    if what == "more":
        answers["q99"] = "yes"
    if what == "doubled":
        out.write('{"id": "0", "answers": {"q1": "yes", "q1": "no"}}\n')
    if what == "capital":
        answers[first] = "Yes"
    if what == "nan":
        dims["MQ"] = float("nan")
    if what == "text":
        dims["MQ"] = "0.3"
    if what == "half":
        raise CannotScore("\ud800")
    if what == "halves":
        answers["\ud800"] = "yes"
    if what == "none":
        return {}
    return {"dims": dims} if scorer == "videoalign" else {"answers": answers}


serve(scorer, load, out=out)
