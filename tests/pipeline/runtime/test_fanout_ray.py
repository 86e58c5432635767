import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from pipeline.runtime.fanout_ray import DEATHS, IN_FLIGHT, ITEMS, SLACK, fan_out_on_ray
from pipeline.runtime.io import DataError
from schemas.reasons import Reason
from schemas.seams import Outcome

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


class Logging:
    """A backend that doubles numbers and writes what it is asked into a file; `odd` says what it does with one item."""

    def __init__(self, log, odd=None, at=None):
        self.log, self.odd, self.at = Path(log), odd, at

    def map(self, asked):
        for item in asked:
            with self.log.open("a") as file:
                file.write(f"{item}\n")
            if item == self.at:
                self.odd(self.log)
            yield Outcome(value=(2 * item, os.getpid()))


def die(log):
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_all_before_is_kept(log):
    while not log.with_name("kept").exists():  # what it told last may still be in its process
        time.sleep(0.01)
    die(log)


def wait_for_leave(log):
    for _ in range(30_000):
        if log.with_name("leave").exists():
            return
        time.sleep(0.02)
    raise TimeoutError("nobody gave leave")


def complain(log):
    raise DataError("questions.jsonl: 63 lines; 64 are asked")


def break_down(log):
    raise ZeroDivisionError("a scorer's own fault")


def die_as_it_starts():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One Ray for all tests, two workers."""
    before = os.environ.get("VPO_WORKERS")
    os.environ["VPO_WORKERS"] = "2"
    yield
    os.environ.pop("VPO_WORKERS")
    if before:
        os.environ["VPO_WORKERS"] = before
    import ray

    ray.shutdown()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "asked"


def asked(log) -> Counter:
    return Counter(int(line) for line in log.read_text().split())


def run(make, n=30, keep=lambda item, outcome: (item, outcome.value and outcome.value[0])):
    return list(fan_out_on_ray(make, iter(range(n)), lambda item: item, keep))


def test_each_item_is_asked_once_and_comes_out_in_order(log):
    assert run(partial(Logging, log)) == [(item, 2 * item) for item in range(30)]
    assert asked(log) == Counter(range(30))


def test_an_outcome_is_kept_while_one_before_it_is_still_made(log):
    kept = []

    def keep(item, outcome):
        kept.append(item)
        if len(kept) == 4:
            log.with_name("leave").touch()
        return item

    assert run(partial(Logging, log, wait_for_leave, 0), keep=keep) == list(range(30))
    assert kept.index(0) >= 4


def test_what_is_read_ahead_is_bounded(log):
    most, read, shown = 0, 0, 0

    def source():
        nonlocal most, read
        for item in range(200):
            read += 1
            most = max(most, read - shown)
            yield item

    for _ in fan_out_on_ray(partial(Logging, log), source(), lambda item: item, lambda item, outcome: item):
        shown += 1
    assert shown == 200 and most <= ITEMS * IN_FLIGHT * SLACK * 2


def test_a_killed_worker_is_replaced_and_nothing_kept_is_asked_again(log):
    kept = []

    def keep(item, outcome):
        kept.append(item)
        if item == 1:  # its worker waits at 2, with 3 behind and perhaps another task
            while 2 not in asked(log):
                time.sleep(0.01)
            os.kill(outcome.value[1], signal.SIGKILL)
            log.with_name("leave").touch()
        return item, outcome.value[0]

    assert run(partial(Logging, log, wait_for_leave, 2), 60, keep) == [(item, 2 * item) for item in range(60)]
    assert asked(log) == Counter([*range(60), 2]) and sorted(kept) == list(range(60))


def test_an_item_that_always_kills_its_worker_fails_alone(log):
    seen = []

    def keep(item, outcome):
        seen.append((item, outcome))
        if item == 4:
            log.with_name("kept").touch()
        return item

    assert run(partial(Logging, log, die_when_all_before_is_kept, 5), 12, keep) == list(range(12))
    bad = [(item, outcome.reason, outcome.detail) for item, outcome in seen if outcome.value is None]
    assert bad == [(5, Reason.FAILED, f"it killed its worker {DEATHS} times in a row")]
    assert asked(log)[5] == 2 * DEATHS and len(seen) == 12


def test_our_own_error_in_a_worker_ends_the_stage_with_its_message_alone(log):
    with pytest.raises(DataError) as fault:
        run(partial(Logging, log, complain, 3))
    assert fault.value.message == "questions.jsonl: 63 lines; 64 are asked"
    with pytest.raises(DataError) as fault:
        run(partial(complain, log))
    assert fault.value.message == "questions.jsonl: 63 lines; 64 are asked"


def test_another_exception_in_a_worker_is_shown_with_its_traceback(log):
    with pytest.raises(RuntimeError, match=r"(?s)in break_down\b.*ZeroDivisionError: a scorer's own fault"):
        run(partial(Logging, log, break_down, 3))


def test_workers_that_die_as_they_start_end_the_stage():
    with pytest.raises(DataError, match=f"no worker lives on Ray, {DEATHS} in a row died as they started"):
        run(die_as_it_starts)


def start_or_die(log):
    """Die in all workers but the first."""
    try:
        log.with_name("first").touch(exist_ok=False)
    except FileExistsError:
        die(log)
    return Logging(log)


def test_one_worker_that_lives_does_all_the_work(log):
    assert len(run(partial(start_or_die, log))) == 30
    assert asked(log) == Counter(range(30))


def test_what_was_kept_before_an_error_stays_kept_and_no_worker_is_left(log):
    pids = set()

    def keep(item, outcome):
        pids.add(outcome.value[1])
        return item

    with pytest.raises(DataError):
        run(partial(Logging, log, complain, 20), keep=keep)
    assert pids
    gone(pids)


OWN = """
import os, sys
from schemas.seams import Outcome
from pipeline.runtime.fanout import fan_out
from {package}.mark import Marked

if __name__ == "__main__":
    for text in fan_out(Marked, range(int(sys.argv[1])), str, lambda item, outcome: outcome.value):
        print(text, flush=True)
"""
MARKED = """
import os, time
import pipeline, schemas
from schemas.seams import Outcome

class Marked:
    def map(self, asked):
        for text in asked:
            time.sleep(0.05)
            facts = pipeline.__file__, schemas.__file__, os.getcwd(), os.environ["VPO_HOME"], os.getpid()
            yield Outcome(value="|".join(map(str, facts)))
"""


def started(folder: Path, n: int) -> subprocess.Popen:
    """Start a driver with its own copy of the code, as a temporary experiment has."""
    for package in ("pipeline", "schemas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pipeline/mark.py").write_text(MARKED)
    (folder / "pipeline/own.py").write_text(OWN.format(package="pipeline"))
    environment = os.environ | {"VPO_EXECUTOR": "ray", "VPO_WORKERS": "2", "VPO_HOME": "its own home"}
    command = [sys.executable, "-m", "pipeline.own", str(n)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def gone(pids):
    """Wait until none of the processes runs."""

    def runs(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    for _ in range(3000):
        if not any(runs(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("still running five minutes later")


def test_workers_run_the_drivers_own_tree_in_its_folder_and_die_when_it_is_killed(tmp_path):
    driver = started(tmp_path, 100_000)
    lines = []
    while len(lines) < 20 or len({line[4] for line in lines}) < 2:  # one worker may start long after the other
        lines.append(driver.stdout.readline().strip().split("|"))
        assert len(lines[-1]) == 5, "the driver ended"
    driver.kill()
    driver.wait()
    driver.stdout.close()
    here = str(tmp_path)
    assert {tuple(line[:4]) for line in lines} == {
        (f"{here}/pipeline/__init__.py", f"{here}/schemas/__init__.py", here, "its own home")
    }
    assert len({line[4] for line in lines}) == 2
    gone({int(line[4]) for line in lines})


@pytest.mark.parametrize(
    ("prelude", "environment", "message"),
    [
        ("import sys; sys.modules['ray'] = None", {}, "VPO_EXECUTOR=ray needs Ray: pip install -e '.[ray]'"),
        ("", {"RAY_ADDRESS": "ray://10.0.0.1:10001"}, "run the stage on a machine of the cluster and say host:port"),
        ("", {"RAY_ADDRESS": "127.0.0.1:1"}, "RAY_ADDRESS=127.0.0.1:1: nobody listens there"),
        (
            "",
            {"VPO_WORKERS": "none"},
            "VPO_WORKERS=none: must be a whole number from 1 on",
        ),
    ],
)
def test_a_ray_that_cannot_be_used_says_how_to_mend_it(prelude, environment, message):
    code = (
        f"{prelude}\nfrom pipeline.runtime.fanout import fan_out\nfrom pipeline.runtime.io import DataError\n"
        "try: list(fan_out(None, [1], None, None))\nexcept DataError as fault: print(fault.message)"
    )
    environment = os.environ | {"VPO_EXECUTOR": "ray"} | environment
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert message in done.stdout, done.stderr
