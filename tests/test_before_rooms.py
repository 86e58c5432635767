"""What an earlier version bought and wrote is served and read by this one: fixtures/before_rooms, see its README.md."""

import hashlib
import json
import shlex
import shutil
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from bench.same_rows import key_of, read, row_files, stage_counts
from schemas.base import Dropped
from schemas.queries import QueryDropped
from schemas.stage import row_classes
from tests.support.project import Project

ROOT = Path(__file__).resolve().parents[1]
BEFORE = ROOT / "tests/fixtures/before_rooms"
ROWS_BEFORE = row_files(BEFORE / "project")
ARMS = ("original", "fewshot", "sft", "dpo")
KEYS = {"OPENAI_API_KEY": "key-of-nobody", "HOST_KEY": "key-of-nobody"}
WORKER = "open('scored', 'w').close()\nraise SystemExit('a clip was to be scored')\n"


def read_yaml(path: Path) -> dict:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def settings() -> dict:
    """Return the values that the fixture was made with, by dotted name; the arms in the form of today's params.yaml.

    No arm of it reads the pairs of all rollouts, so it has no lane for them; it took all pairs, at beta 0.1.
    """
    values = json.loads((BEFORE / "params.json").read_text(encoding="utf-8"))
    arms = read_yaml(ROOT / "params.yaml")["evaluate"]["arms"]
    recipe = {"dpo.pairs_per_query": None, "dpo.train.beta": 0.1}
    return recipe | values | {"dpo.unchecked": {}, "evaluate.arms": {name: arms[name] for name in ARMS}}


def dump_of(home: Path) -> list[str]:
    """Return the store as SQL, without the time at which a row came."""
    connection = sqlite3.connect(home / "store/answers.sqlite")
    try:
        return sorted(
            str(row)
            for table in ("select key, kind, request, answer from answers", "select * from spent")
            for row in connection.execute(table)
        )
    finally:
        connection.close()


def fill(home: Path) -> Path:
    """Make a $VPO_HOME with the fixture's store; return it."""
    shutil.copytree(BEFORE / "home/files", home / "store/files")
    connection = sqlite3.connect(home / "store/answers.sqlite")
    connection.executescript((BEFORE / "home/answers.sql").read_text(encoding="utf-8"))
    connection.close()
    return home


class Refusing(BaseHTTPRequestHandler):
    """Writes down each request and refuses it in a way that ends the stage."""

    def refuse(self):
        self.server.requests.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b'{"error": {"message": "nothing is sold here"}}'
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = refuse

    def log_message(self, *args):
        pass


def listen(base_url: str, patience_s: float = 300.0) -> ThreadingHTTPServer:
    """Listen where the fixture's server was, since every key has its port; wait while another test run does."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return ThreadingHTTPServer(("127.0.0.1", urlsplit(base_url).port), Refusing)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@pytest.fixture(scope="module")
def servers():
    """The teacher's and the clips' address: two servers that count."""
    values = settings()
    made = [listen(values[key]) for key in ("teacher.base_url", "render.base_url")]
    for server in made:
        server.requests = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def replayed(tmp_path_factory, servers):
    """Today's project after every stage but training has run on the fixture's inputs, and the commands that ran.

    Its queries are those of the fixture: the draw has changed once since, so others would be asked about.
    """
    folder = tmp_path_factory.mktemp("replayed")
    project = Project(folder / "project", fill(folder / "home"), settings())
    (project.path / "worker.py").write_text(WORKER)
    for name in ("data/raw", "data/models", "data/queries"):
        shutil.copytree(BEFORE / "project" / name, project.path / name, dirs_exist_ok=True)
    for path in (BEFORE / "project/results").glob("queries*"):
        (project.path / "results").mkdir(exist_ok=True)
        shutil.copyfile(path, project.path / "results" / path.name)
    lines = project.run("dvc", "repro", "--dry", "--force").stdout.splitlines()
    project.commands = [line.removeprefix("> ") for line in lines if line.startswith("> python -m pipeline ")]
    project.commands = [command for command in project.commands if "pipeline queries " not in command]
    for command in project.commands:
        project.run(*shlex.split(command), **KEYS)
    return project


def differences(before, after, place: str) -> list[str]:
    """Return where `after` lacks or changes what `before` holds; columns that came later are no difference."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in before for line in differences(before[key], after.get(key), f"{place}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{place}[{index}]")]
    return [] if before == after else [f"{place}: {before!r} became {after!r}"]


@pytest.mark.slow
def test_what_was_paid_for_is_neither_asked_nor_scored_nor_charged_again(replayed, servers):
    assert len(replayed.commands) > 25
    assert [server.requests for server in servers] == [[], []]
    assert not (replayed.path / "scored").exists()
    assert dump_of(replayed.home) == dump_of(fill(replayed.home.parent / "untouched"))


@pytest.mark.slow
def test_rows_keep_their_values_ids_store_keys_and_order(replayed):
    after = row_files(replayed.path)
    assert after.keys() == ROWS_BEFORE.keys()
    lines = []
    for key, path in ROWS_BEFORE.items():
        before, now = read(path), read(after[key])
        if key == "data/evaluate.jsonl":  # metrics that came later are no difference
            metrics = {row["metric"] for row in before}
            now = [row for row in now if row["metric"] in metrics]
        lines += differences(before, now, key)
    assert not lines, "\n".join(lines[:20])
    counts = {key: value for key, value in stage_counts(BEFORE / "project").items() if "/models/" not in key}
    assert not differences(counts, stage_counts(replayed.path), "results")


MISSING = [
    ("critique", "teacher", "select key from answers where kind = 'teacher'"),
    ("render", "clips", "select key from answers where kind in ('clip', 'render_job')"),
    ("reward", "worker", "select key from answers where kind = 'score'"),
    ("rollout", "teacher", "select key from answers where kind = 'policy'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "where", "keys"), MISSING)
def test_what_is_not_in_the_store_is_asked_for_where_it_is_counted(replayed, servers, tmp_path, stage, where, keys):
    """Else the servers above would count nothing whatever happens."""
    other = object.__new__(Project)
    other.path, other.home = shutil.copytree(replayed.path, tmp_path / "project"), fill(tmp_path / "home")
    with sqlite3.connect(other.home / "store/answers.sqlite") as connection:
        connection.execute(f"delete from answers where key in ({keys})")
    connection.close()
    (command,) = (
        line for line in replayed.commands if f"pipeline {stage} " in line and "eval" in line and "sft" in line
    )
    teacher, clips = servers
    try:
        assert other.run(*shlex.split(command), check=False, **KEYS).returncode
        asked = {"teacher": bool(teacher.requests), "clips": bool(clips.requests)}
        asked["worker"] = (other.path / "scored").exists()
        assert [name for name, was in asked.items() if was] == [where]
    finally:
        teacher.requests.clear()
        clips.requests.clear()


@pytest.mark.slow
def test_sql_reads_the_data_of_an_earlier_version(tmp_path):
    project = object.__new__(Project)
    project.path, project.home = tmp_path / "project", tmp_path / "home"
    shutil.copytree(BEFORE / "project", project.path)
    (project.path / "dvc.yaml.txt").rename(project.path / "dvc.yaml")
    files = {
        "queries": "data/queries/*.jsonl", "critique_sft": "data/sft/critique.jsonl", "d_dpo": "data/dpo/d_dpo.jsonl",
        "render_eval": "data/eval/*/render.parquet", "reward_dpo": "data/dpo/reward.parquet",
        "evaluate": "data/evaluate.jsonl", "render_dpo_dropped": "data/dpo/render_dropped.jsonl",
    }  # fmt: skip
    counts = ", ".join(f"(select count(*) from {view}) as {view}" for view in files)
    (told,) = json.loads(project.run("vpo", "sql", "--json", f"select {counts}").stdout)
    assert told == {
        view: sum(len(read(path)) for path in project.path.glob(pattern)) for view, pattern in files.items()
    }


@pytest.mark.slow
def test_dvc_finds_the_data_of_an_earlier_version_as_its_lock_says(tmp_path):
    project = Project(tmp_path / "project", tmp_path / "home", settings())
    shutil.copytree(BEFORE / "project/data", project.path / "data", dirs_exist_ok=True)
    shutil.copyfile(BEFORE / "project/dvc.lock.txt", project.path / "dvc.lock")
    with (project.path / "data/dpo/d_text.jsonl").open("a") as file:
        file.write("{}\n")
    status = json.loads(project.run("dvc", "status", "--json").stdout)
    stages = read_yaml(BEFORE / "project/dvc.lock.txt")["stages"]
    # a stage or a dep that came later has no hash there
    locked = {(name, dep["path"]) for name, stage in stages.items() for dep in stage.get("deps", [])}
    changes = [(name, change["changed deps"]) for name in status for change in status[name] if "changed deps" in change]
    modified = {
        path for name, deps in changes for path, state in deps.items() if state == "modified" and (name, path) in locked
    }
    assert modified & ROWS_BEFORE.keys() == {"data/dpo/d_text.jsonl"}


def row_class(key: str):
    name = Path(key).stem
    if name.endswith("_dropped"):
        return QueryDropped if name.startswith("queries") else Dropped
    return row_classes()["queries" if Path(key).parent.name == "queries" else name]


@pytest.mark.parametrize("key", [key for key in ROWS_BEFORE if "/package/" not in key])
def test_rows_of_an_earlier_version_are_valid(key):
    for row in read(ROWS_BEFORE[key]):
        row_class(key).model_validate(row)


def test_the_lock_holds_the_files_as_they_are():
    outs = [
        out for stage in read_yaml(BEFORE / "project/dvc.lock.txt")["stages"].values() for out in stage.get("outs", [])
    ]
    hashes = {out["path"]: out["md5"] for out in outs}
    for path in ROWS_BEFORE.values():
        name = path.relative_to(BEFORE / "project").as_posix()
        assert "/package/" in name or hashlib.md5(path.read_bytes()).hexdigest() == hashes[name], name


def test_the_package_of_an_earlier_version_is_read():
    folder = BEFORE / "project/data/package"
    _, head, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    configs = YAML(typ="safe").load(head)["configs"]
    files = {file["path"] for config in configs for file in config["data_files"]}
    assert files == {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    pairs = [row for path in sorted((folder / "dpo").iterdir()) for row in read(path)]
    written = read(BEFORE / "project/data/dpo/d_dpo.jsonl")
    assert {row["pair_id"] for row in pairs} == {row["pair_id"] for row in written}
    assert all(row["chosen"][0]["role"] == "assistant" for row in pairs)


def test_the_fixture_holds_something_of_every_stage():
    """An empty file is served and read by any code."""
    filled = {key_of(path, BEFORE / "project") for path in ROWS_BEFORE.values() if read(path)}
    for name in ("sft/refine", "dpo/refine", "dpo/d_text", "dpo/d_video", "dpo/d_dpo", "dpo/render_dropped"):
        assert f"data/{name}.jsonl" in filled
    for arm in ARMS:
        assert f"data/eval/{arm}/reward.parquet" in filled
