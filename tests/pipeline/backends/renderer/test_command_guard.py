import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.clip_program import made, params
from tests.support.clip_server import clip_of

pytestmark = pytest.mark.slow


RUN = """
import json, sys
from schemas.seams import RenderRequest
from pipeline.backends.renderer.command import Command
from tests.support.params import section_of
renderer = Command(section_of("render", **json.loads(sys.argv[1])))
list(renderer.map(RenderRequest(prompt, 7) for prompt in json.loads(sys.argv[2])))
"""


def until(true):
    while not true():
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split()[2] == "Z"


def test_a_run_killed_in_the_midst_takes_its_program_with_it_and_makes_no_finished_clip_again(
    laptop, program, tmp_path
):
    prompts = ["a dog", "a cat", "hangs", "an owl"]
    command = [sys.executable, "-c", RUN, params(laptop, program.words).model_dump_json(), json.dumps(prompts)]
    stage = subprocess.Popen(command)
    until(lambda: (tmp_path / "hangs").exists() and (tmp_path / "hangs").read_text())
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    pid = int((tmp_path / "hangs").read_text())
    until(lambda: gone(pid))
    (tmp_path / "again").touch()
    outcomes = made(laptop, program, prompts)
    assert [outcome.value.content for outcome in outcomes] == [clip_of(prompt) for prompt in prompts]
    assert program() == [prompts, ["hangs", "an owl"]]
