"""Runs that a test kills: they wait at their last step, or one that a busy machine looks at too late would be over."""

import os
from pathlib import Path

# Python runs it at its start; what we write is put in its place by a rename
SITE = """
import fnmatch, os, sys, time

def wait(event, told):
    if event == "os.rename" and fnmatch.fnmatch(os.path.abspath(told[1]), os.environ["HELD"]):
        time.sleep(3600)

sys.addaudithook(wait)
"""


def held(folder: Path, output: Path | str) -> dict[str, str]:
    """Return the environment in which a process, and what it starts, never puts `output`, a pattern, in its place.

    `folder` must be the caller's own.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "HELD": str(output)}
