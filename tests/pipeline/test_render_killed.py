"""Real runs of render and reward, killed by kill -9 at ten counted steps, here and on Ray."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.io import write_rows
from schemas.rollout import Rollout
from tests.support.project import ROOT
from tests.support.rows import prompt_fields

pytestmark = pytest.mark.slow
N = 40
COLOURS, THINGS = "red blue white black green".split(), "dog cat horse bird boat car tree house".split()

# what is worked on goes into a log, so that work done twice shows even when its result is thrown away; the unit that
# stands in `held` waits there, or a run might be over before a busy machine came to kill it
AT_WORK = """
import time
from pathlib import Path

def at_work(unit):
    with open("worked_on", "a") as log:
        log.write(unit + "\\n")
    while Path("held").read_text() == unit:
        time.sleep(0.01)
"""
LOGS = {
    "renderer/offline.py": """
from pipeline.video.rendering import video_id

def logged(self, request, clip=Offline.clip):
    at_work(video_id(self, request))
    return clip(self, request)

Offline.clip = logged
""",
    "reward/offline.py": """
from pipeline.video.clips import frames_hash

def logged(items, score, by, score_views=score_views):
    for item in items:
        at_work(f"{by.backend} {frames_hash(decode(item.clip))} {item.text}")
        yield from score_views([item], score, by)

score_views = logged
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with its own code and D_video's prompts; clips of a tenth of a second's work."""
    folder = tmp_path_factory.mktemp("killed") / "project"
    for package in ("pipeline", "schemas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, more in LOGS.items():
        with (folder / "pipeline/backends" / name).open("a") as file:
            file.write(AT_WORK + more)
    (folder / "held").write_text("")
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["render"] |= {"n_frames": 16, "height": 96, "width": 96, "clips_per_shard": 15}
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    queries = [f"a {COLOURS[i % 5]} {THINGS[i // 5]}" for i in range(N)]
    rows = [Rollout(**prompt_fields(query=query, prompt=f"{query} runs in calm, soft light.")) for query in queries]
    write_rows(folder / "data/dpo/rollout.jsonl", rows, Rollout)
    return folder


@pytest.fixture(scope="module")
def undisturbed(project):
    """The folder after render and reward ran through without Ray and without a kill."""
    folder = shutil.copytree(project, project.with_name("undisturbed"))
    for stage in ("render", "reward"):
        run = start(folder, stage, {})
        assert run.wait() == 0
    assert (len(kept(folder, "render")), len(kept(folder, "reward"))) == (N, 2 * N)
    return folder


@pytest.fixture(scope="module")
def cluster():
    """What a run needs to know of a Ray cluster that outlives its drivers."""
    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    # room for two workers while the two of a killed driver are still ending
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield {"VPO_EXECUTOR": "ray", "VPO_WORKERS": "2", "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    ray.shutdown()


def start(folder, stage, environment) -> subprocess.Popen:
    given = {"render": "data/dpo/rollout.jsonl", "reward": "data/dpo/render.parquet"}[stage]
    command = [sys.executable, "-m", "pipeline", stage, given, f"data/dpo/{stage}.parquet"]
    environment = os.environ | {"VPO_HOME": str(folder / "home")} | environment
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def kept(folder, stage) -> set[str]:
    """Return what the store holds of a stage, in the words of the log."""
    kind = {"render": "clip", "reward": "score"}[stage]
    try:
        path = folder / "home/store/answers.sqlite"
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)
    except sqlite3.OperationalError:
        return set()
    try:
        if stage == "render":
            return {key for (key,) in connection.execute("select key from answers where kind = ?", (kind,))}
        told = (
            "select case when json_array_length(answer, '$.answers') then 'offline_checklist' else 'offline_dims' end, "
            "request ->> 'frames_hash', request ->> 'text' from answers where kind = ?"
        )
        return {" ".join(row) for row in connection.execute(told, (kind,))}
    except sqlite3.OperationalError:  # no table yet
        return set()
    finally:
        connection.close()


def workers() -> list[int]:
    """Return the ids of our Ray actors' processes below this one, the newest last."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cmdline").read_bytes().startswith(b"ray::Worker") and below_us(entry.name):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return sorted(found)


def below_us(pid: str) -> bool:
    while pid not in ("0", "1"):
        pid = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
        if pid == str(os.getpid()):
            return True
    return False


def outputs(folder) -> dict[str, bytes]:
    here = folder / "data/dpo"
    return {str(path.relative_to(here)): path.read_bytes() for path in sorted(here.rglob("*")) if path.is_file()}


def killed_and_run(folder, stage, steps, environment, a_worker_too) -> int:
    """Run a stage to its end, killing it at each number of kept units in `steps`; return how many kills there were.

    Two times of three it is one of its workers that is killed, where it has some.
    What was in the store at a kill must not be worked on after it.
    """
    log, kills, before = folder / "worked_on", 0, []
    run, ending = start(folder, stage, environment), set()
    for turn, step in enumerate(steps):
        while len(kept(folder, stage)) < step or not ending.isdisjoint(workers()):
            assert run.poll() is None, f"ended before step {step}"
            time.sleep(0.003)
        worker = a_worker_too and turn % 3 < 2
        if worker:
            while not (found := workers()):  # the run may only just have begun
                assert run.poll() is None, f"no worker at step {step}"
                time.sleep(0.003)
            os.kill(found[-1], signal.SIGKILL)
            ending.add(found[-1])
        else:
            run.kill()
            assert run.wait() == -signal.SIGKILL
            ending.update(workers())
        kills += 1
        before.append((kept(folder, stage), log.stat().st_size if log.exists() else 0))
        if not worker:
            run = start(folder, stage, environment)
    (folder / "held").write_text("")
    assert run.wait() == 0
    for held, size in before:
        again = log.read_bytes()[size:].decode().splitlines()
        assert held.isdisjoint(again)
    return kills


@pytest.mark.parametrize("stage", ["render", "reward"])
@pytest.mark.parametrize("where", ["here", "on Ray"])
def test_ten_kills_change_no_byte_and_repeat_nothing_finished(project, undisturbed, tmp_path, request, where, stage):
    environment = request.getfixturevalue("cluster") if where == "on Ray" else {}
    folder = shutil.copytree(project, tmp_path / "project")
    total = N
    if stage == "reward":
        total = 2 * N
        shutil.copyfile(undisturbed / "data/dpo/render.parquet", folder / "data/dpo/render.parquet")
        shutil.copytree(undisturbed / "data/dpo/render", folder / "data/dpo/render")
    # each unit was worked on once, the clips first
    units = (undisturbed / "worked_on").read_text().splitlines()
    (folder / "held").write_text({"render": units[N - 1], "reward": units[3 * N - 1]}[stage])
    steps = [1 + total * place // 10 for place in range(10)]
    assert killed_and_run(folder, stage, steps, environment, where == "on Ray") == 10
    want, found = outputs(undisturbed), outputs(folder)
    assert {f"{stage}.parquet", f"{stage}_dropped.jsonl", "render/00002.tar"} <= set(found)
    assert found == {name: want[name] for name in found}
