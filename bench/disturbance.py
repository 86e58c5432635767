"""What the kill bench and the soak share: a small graph whose teacher is a loopback endpoint, ways to end its dvc at
any moment, and what must be true of a graph that has finished all the same.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.support.llm_server import Remote, serving_process
from tests.support.project import TINY, Project, stage_processes

RESULTS = Path(__file__).resolve().parent / "results"
TARGETS = ("d_sft", "critique_eval@test-original", "reward_eval@test-original")
"""text, clips and scores; no training, which would cost more than all the rest"""
FEW = {
    "world.queries": 160,
    "queries.sft": 24,
    "queries.sft_safety": 6,
    "queries.dpo": 6,
    "queries.dpo_safety": 2,
    "queries.test": 6,
    "queries.test_safety": 2,
    "base.stop_share": 1.0,
}
WORKERS = 8
TRANSIENT = ("500", "502", "429", "reset", "cut", "no_choices", "429_bare", "cut_short")
"""faults behind which the same question has to be asked again"""
KEY = "sk-of-the-bench-0123456789"
NOT_YET_STORED_S = 0.25
"""between a reply and the end of the transaction that stores it"""
# runs in every Python below dvc; only dvc opens its lock to write it
SITE = """
import os, random, signal, sys, threading, time

def end():
    time.sleep(float(os.environ["ENDS_AFTER_S"]))
    open(os.environ["ENDED"], "w").close()
    target = os.kill if os.environ["ENDS"] == "dvc" else lambda pid, number: os.killpg(os.getpgid(pid), number)
    target(os.getpid(), int(os.environ["ENDS_BY"]))

def watch(event, values, left=[int(os.environ["ENDS_AT_WRITE"])]):
    if event == "open" and str(values[0]).endswith(os.environ["ENDS_AT"]) and set(str(values[1])) & set("wax+"):
        left[0] -= 1
        if left[0] == 0:
            threading.Thread(target=end, daemon=True).start()

sys.addaudithook(watch)
"""


def reply(world: Mapping[str, object], model: str, messages: list[dict]) -> str:
    """Answer as the offline teacher does, behind an endpoint."""
    from pipeline.backends.teacher.offline import answer
    from schemas.params import WorldParams

    return answer(model, messages, 0, WorldParams(**world))


def make_reply() -> Callable[[str, list[dict]], str]:
    """Return `reply` with the world of params.yaml as the small graph changes it, for a server's own process."""
    from pipeline.runtime.params_file import load_params
    from tests.support.project import ROOT

    changes = {key.removeprefix("world."): value for key, value in (TINY | FEW).items() if key.startswith("world.")}
    return partial(reply, load_params(ROOT / "params.yaml").world.model_dump() | changes)


@dataclass
class Kill:
    """How dvc was ended, and from when to when, on the monotonic clock, requests may have been on their way."""

    how: str
    moment: str
    signalled_s: float
    gone_s: float


@dataclass
class Story:
    """What one graph met until it was finished, and what was found then."""

    kills: list[Kill] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """why runs stopped by themselves, and the command that `vpo doctor` named for each"""
    wrong: list[str] = field(default_factory=list)
    repeated: int = 0
    """answers that were bought once more, of those in flight at a kill"""
    twice: int = 0
    """answers that were bought once more, beyond those"""


class Bench:
    """The undisturbed graph and its endpoint; `begin` gives a checkout that has not run."""

    def __init__(self, folder: Path, server: Remote):
        self.folder, self.server = folder, server
        self.calm = Project(folder / "calm", folder / "home-calm", TINY | FEW)
        self.calm.set({
            "teacher.backend": "openai", "teacher.base_url": server.base_url, "teacher.model": "grammar",
            "teacher.max_concurrency": WORKERS,
        })  # fmt: skip
        self.calm.run("git", "commit", "-qam", "endpoint")
        started = time.monotonic()
        self.calm.run("dvc", "repro", *TARGETS, OPENAI_API_KEY=KEY)
        self.run_s = time.monotonic() - started
        self.files = read_files(self.calm.path)
        self.bought = count_bought(server.log())
        server.forget()

    def begin(self, name: str) -> Project:
        """Return a checkout with what Python compiled, but without data, cache, locks and answers."""
        ignored = shutil.ignore_patterns("data", "results", "cache", "tmp", "dvc.lock", "wandb")
        shutil.copytree(self.calm.path, self.folder / name, ignore=ignored, symlinks=True)
        shutil.copytree(self.calm.path / "data/raw", self.folder / name / "data/raw")
        project = object.__new__(Project)
        project.path, project.home = self.folder / name, self.folder / f"home-{name}"
        self.server.forget()
        return project

    def drop(self, project: Project) -> None:
        """Remove what `begin` gave."""
        for folder in (project.path, project.home):
            shutil.rmtree(folder, ignore_errors=True)

    def judge(self, project: Project, story: Story) -> None:
        """Compare the files with the undisturbed ones, and the server's bill with its own and what was in flight."""
        files = read_files(project.path)
        story.wrong += sorted(name for name in {*files, *self.files} if files.get(name) != self.files.get(name))
        log = self.server.log()
        for conversation, count in (count_bought(log) - self.bought).items():
            in_flight = sum(
                is_in_flight(entry, kill) for entry in log if entry[1] == conversation for kill in story.kills
            )
            story.repeated += min(count, in_flight)
            story.twice += max(count - in_flight, 0)


def count_bought(log: list[list]) -> Counter[str]:
    """Return how many answers the server has sent to each conversation, whether or not they arrived."""
    return Counter(entry[1] for entry in log if entry[2] == "ok")


def is_in_flight(entry: list, kill: Kill) -> bool:
    """Return whether an answer of the server's log was on its way, or not yet stored, when dvc was ended."""
    arrived, latency_s = entry[0], entry[5]
    return entry[2] == "ok" and arrived <= kill.gone_s and arrived + latency_s >= kill.signalled_s - NOT_YET_STORED_S


def read_files(folder: Path) -> dict[str, str]:
    """Return path -> hash of all that stages have written."""
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for place in ("data", "results")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file() and path.name != ".gitignore" and "raw" not in path.parts
    }


# who gets which signal
WAYS = {
    "kill -9 of dvc": (signal.SIGKILL, "dvc"),
    "kill -9 of dvc and its stage": (signal.SIGKILL, "group"),
    "SIGTERM of dvc": (signal.SIGTERM, "dvc"),
    "SIGTERM of dvc and its stage": (signal.SIGTERM, "group"),
    "Ctrl-C": (signal.SIGINT, "group"),
}
# what dvc begins to write, and how many seconds after that it ends at most
WRITES = {"dvc.lock": 0.02, "tmp/rwlock": 0.002, "tmp/lock": 0.002}


def repro(bench: Bench, project: Project, **environment: str) -> Popen:
    """Start `dvc repro` with its output in a file beside the checkout."""
    output = (bench.folder / f"{project.path.name}.txt").open("w")
    return Popen(
        ["dvc", "repro", *TARGETS], cwd=project.path, text=True, start_new_session=True, stdout=output, stderr=output,
        env=project.environment | {"OPENAI_API_KEY": KEY} | environment,
    )  # fmt: skip


def read_output(bench: Bench, project: Project) -> str:
    """Return the output of the last `dvc repro`."""
    return (bench.folder / f"{project.path.name}.txt").read_text()


def run_and_kill(bench: Bench, project: Project, draw: random.Random, story: Story) -> None:
    """Run dvc and end it at a random moment; where it stops by itself before that, go by `vpo doctor`."""
    how = draw.choice(list(WAYS))
    signal_number, target = WAYS[how]
    killed_mark = bench.folder / f"{project.path.name}.ended"
    killed_mark.unlink(missing_ok=True)
    if draw.random() < 0.5:
        written_file = draw.choice(list(WRITES))
        site = bench.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE)
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = repro(
            bench, project, PYTHONPATH=path, ENDS_AT=written_file, ENDS_AT_WRITE=str(draw.randint(1, 8)), ENDS=target,
            ENDS_BY=str(int(signal_number)), ENDS_AFTER_S=f"{draw.uniform(0, WRITES[written_file]):.4f}",
            ENDED=str(killed_mark),
        )  # fmt: skip
        stages: list[int] = []
        while process.poll() is None:
            stages = stage_processes(process.pid) or stages
            time.sleep(0.02)
        signalled_s, moment = time.monotonic(), f"while it writes {written_file}"
    else:
        process = repro(bench, project)
        deadline_s = time.monotonic() + draw.uniform(0.5, 0.8 * bench.run_s)
        while time.monotonic() < deadline_s and process.poll() is None:
            time.sleep(0.02)
        stages = stage_processes(process.pid)
        signalled_s, moment = time.monotonic(), "at any moment"
        if process.poll() is None:
            killed_mark.touch()
            (os.killpg if target == "group" else os.kill)(process.pid, signal_number)
        process.wait()
    while any(is_alive(pid) for pid in stages):  # a stage ends by itself when its dvc is gone
        time.sleep(0.02)
    if killed_mark.exists():
        story.kills.append(Kill(how, moment, signalled_s, time.monotonic()))
    elif process.returncode:
        go_by_doctor(bench, project, story)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def go_on(bench: Bench, project: Project, story: Story) -> bool:
    """Run dvc to its end, by `vpo doctor` where it stops; return whether the graph is finished."""
    for _ in range(4):
        if repro(bench, project).wait() == 0:
            return True
        if not go_by_doctor(bench, project, story):
            return False
    story.wrong.append(f"does not go on: {read_output(bench, project)[-600:]}")
    return False


def go_by_doctor(bench: Bench, project: Project, story: Story) -> bool:
    """Note why dvc stopped by itself and do what `vpo doctor` says; return whether it says anything."""
    output = read_output(bench, project)
    error = next((line for line in output.splitlines()[::-1] if line.startswith(("ERROR", "Error"))), output[-300:])
    if "Traceback" in output:
        story.wrong.append(f"a traceback: {output[-600:]}")
    doctor = project.run("vpo", "doctor", check=False, OPENAI_API_KEY=KEY)
    lines = doctor.stdout.splitlines()
    remedies = [below.removeprefix("     -> ") for line, below in pairwise(lines) if line.startswith("MEND ")]
    story.refusals.append(f"{' '.join(error.split())[:160]} -> {'; '.join(remedies) or 'nothing'}")
    if doctor.returncode == 0:
        story.wrong.append(f"doctor finds nothing: {error[:300]}")
        return False
    project.run("vpo", "doctor", "--mend", check=False, OPENAI_API_KEY=KEY)
    return True


def summarise(stories: list[Story]) -> dict[str, Any]:
    """Return counts over stories, as they stand in the results."""
    kills = [kill for story in stories for kill in story.kills]
    return {
        "graphs": len(stories),
        "kills": len(kills),
        "by_way": dict(sorted(Counter(kill.how for kill in kills).items())),
        "by_moment": dict(sorted(Counter(kill.moment for kill in kills).items())),
        "damages": dict(sorted(Counter(damage for story in stories for damage in story.damages).items())),
        "refusals": [refusal for story in stories for refusal in story.refusals],
        "wrong": [fault for story in stories for fault in story.wrong],
        "repeated": sum(story.repeated for story in stories),
        "twice": sum(story.twice for story in stories),
    }


def list_stops(figures: dict[str, Any]) -> str:
    """Return the rows of a table: why runs stopped, how `vpo doctor` set them right, how often."""
    return "".join(f"| {stop} | {count} |\n" for stop, count in Counter(figures["refusals"]).most_common())


def describe(story: Story) -> str:
    """Return a line for the terminal."""
    return json.dumps({
        "kills": [f"{kill.how}, {kill.moment}" for kill in story.kills], "damages": story.damages,
        "refusals": story.refusals, "wrong": story.wrong, "repeated": story.repeated, "twice": story.twice,
    })  # fmt: skip


@contextmanager
def opened_bench(**settings: Any) -> Iterator[Bench]:
    """Give the undisturbed graph in a folder of its own, its endpoint's delays and faults as in `settings`."""
    with (
        tempfile.TemporaryDirectory(prefix="vpo-disturbance-") as folder,
        serving_process(make_reply(), **settings) as server,
    ):
        yield Bench(Path(folder), server)


def live_through(
    bench: Bench, name: str, disturb: Callable[[Project, Story], None], times: int, finish: Callable[..., bool]
) -> Story:
    """Disturb a graph so many `times`, finish it, compare it with the undisturbed one, and return its story."""
    story, project = Story(), bench.begin(name)
    for _ in range(times):
        disturb(project, story)
    if finish(bench, project, story):
        bench.judge(project, story)
    print(describe(story), flush=True)
    bench.drop(project)
    return story


def parse_arguments(summary: str, size: str, default: float) -> tuple[Any, int]:
    """Return from the command line how much is measured, by the option named `size`, and the seed."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument(f"--{size}", type=type(default), default=default)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    return getattr(arguments, size), arguments.seed


def save_figures(name: str, figures: dict[str, Any]) -> bool:
    """Write bench/results/<name>.json, and return whether all that must hold does."""
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
    return not figures["wrong"] and not figures["twice"]
