"""Every kind of damage: one line that names the file and the way out, nothing bought meanwhile, and the safe mend."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main as stages
from pipeline.runtime.store import Store
from tests.support.llm_server import serving
from tests.support.project import ROOT
from tests.support.small_project import small_project, write_params
from vpo.__main__ import main as vpo
from vpo.damage import check_folders
from vpo.damaged_files import hash_path, object_path
from vpo.doctor import check_temporary
from vpo.graph import read_graph

BUYS = ("fewshot", "data/queries/sft.jsonl", "out/data/sft/fewshot.jsonl")
JUDGES = ("critique", "data/sft/fewshot.jsonl", "out/data/sft/critique.jsonl")
SCORES = ("reward", "data/dpo/render.parquet", "out/data/dpo/reward.parquet")
CACHE = Path(".dvc/cache")


class Place(NamedTuple):
    """A project and its $VPO_HOME."""

    folder: Path
    home: Path

    @property
    def answers(self) -> Path:
        return self.home / "store/answers.sqlite"


class Kind(NamedTuple):
    """A damage: what does it, the stage that meets it with its words, and the doctor's check with its words.

    `stage` is None where DVC alone meets it, `check` "" where the doctor has nothing to look at; `heals` says whether
    `--mend` is enough.
    """

    do: Callable[[Place], object]
    stage: tuple[str, ...] | None
    says: str
    check: str
    finds: str
    heals: bool = False


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip(path: Path) -> None:
    """Overwrite all pages of a database but the first one and the last."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 8192) + content[-4096:])


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def exchange_clips(place: Place) -> None:
    """Put another clip of the same length into a shard; it can be played."""
    path = place.folder / "data/dpo/render/00000.tar"
    content = bytearray(path.read_bytes())
    first = content.index(b"ftypmp42" if b"ftypmp42" in content else b"ftyp") + 100
    content[first] ^= 1
    path.write_bytes(content)


def flip_object(place: Place) -> None:
    path = object_path(place.folder / CACHE, hash_path(place.folder / "data/sft/fewshot.jsonl"))
    change(path, b"soft", b"hard")


def rwlock(text: str) -> Callable[[Place], object]:
    return lambda place: (place.folder / ".dvc/tmp/rwlock").write_text(text)


OLD_STORE = "put a copy back, or `vpo doctor --mend`"
KINDS = {
    "store cut": Kind(lambda p: cut(p.answers), BUYS, OLD_STORE, "store", "answers.sqlite", True),
    "store flipped": Kind(lambda p: flip(p.answers), BUYS, "vpo doctor", "store", "answers.sqlite", True),
    "store empty": Kind(lambda p: p.answers.write_bytes(b""), BUYS, OLD_STORE, "store", "empty, but it held", True),
    "store gone": Kind(lambda p: p.answers.unlink(), BUYS, OLD_STORE, "store", "gone, but it held answers", True),
    "store another file": Kind(lambda p: p.answers.write_text("hello " * 999), BUYS, OLD_STORE, "store", "not a", True),
    "store of another schema": Kind(
        lambda p: execute(p.answers, "alter table answers rename column answer to reply"),
        BUYS, OLD_STORE, "store", "another schema", True,
    ),
    "store older than its record": Kind(
        lambda p: (p.home / "store/record").write_text("99\n"), BUYS, "an older copy?", "store", "99 answers", True
    ),
    "account gone": Kind(
        lambda p: (p.folder / ".dvc/vpo_account").write_text(""),
        BUYS, "git checkout .dvc/vpo_account", "account", "counted as 0123456789ab", True,
    ),
    "home is a file": Kind(
        lambda p: (shutil.rmtree(p.home), p.home.write_text("")), BUYS, "set VPO_HOME to a folder of yours", "VPO_HOME",
        "cannot be written",
    ),
    "lock torn": Kind(lambda p: cut(p.folder / "dvc.lock"), None, "", "dvc.lock", "", True),
    "lock empty": Kind(lambda p: (p.folder / "dvc.lock").write_text(""), None, "", "dvc.lock", "empty", True),
    "lock of dvc torn": Kind(rwlock('{"wri'), None, "", "dvc lock", "rwlock is broken", True),
    "lock of dvc of another form": Kind(rwlock('{"write": {"a": []}}'), None, "", "dvc lock", "rwlock is broken", True),
    "lock of dvc of a stranger": Kind(
        rwlock('{"write": {"a": {"pid": 1, "cmd": "dvc repro"}}}'), None, "", "dvc lock", "process 1, which is no", True
    ),
    "cache object flipped": Kind(flip_object, None, "", "dvc cache", "corrupt: .dvc/cache/files/md5/", True),
    "ignore file gone": Kind(
        lambda p: (p.folder / ".gitignore").unlink(), None, "", ".gitignore", "lets git take in data/", True
    ),
    "ignore file without our lines": Kind(
        lambda p: (p.folder / ".gitignore").write_text("*.pyc\n"), None, "", ".gitignore", "lets git take in data/"
    ),
    "row edited": Kind(
        lambda p: change(p.folder / "data/sft/fewshot.jsonl", b"soft", b"hard"),
        JUDGES, "fewshot.jsonl:1: prompt_id: not that of its prompt", "outputs", "data/sft/fewshot.jsonl",
    ),
    "rows cut": Kind(
        lambda p: cut(p.folder / "data/sft/fewshot.jsonl", 0.6),
        JUDGES, "fewshot.jsonl:3: the row: Invalid JSON", "outputs", "data/sft/fewshot.jsonl",
    ),
    "row of broken text": Kind(
        lambda p: change(p.folder / "data/sft/fewshot.jsonl", b"soft", b"s\xfft"),
        JUDGES, "fewshot.jsonl:1: not UTF-8", "outputs", "data/sft/fewshot.jsonl",
    ),
    "rows gone": Kind(
        lambda p: (p.folder / "data/sft/fewshot.jsonl").unlink(), JUDGES, "no such file; `dvc repro` makes", "", ""
    ),
    "manifest cut": Kind(
        lambda p: cut(p.folder / "data/dpo/render.parquet"), SCORES, "render.parquet: not a readable Parquet file",
        "outputs", "data/dpo/render.parquet",
    ),
    "shard cut": Kind(
        lambda p: cut(p.folder / "data/dpo/render/00000.tar"), SCORES, "`dvc checkout` brings back both", "outputs",
        "data/dpo/render/00000.tar",
    ),
    "shard with another clip": Kind(
        exchange_clips, SCORES, "another clip lies in the place of", "outputs", "data/dpo/render/00000.tar"
    ),
    "stray file among shards": Kind(
        lambda p: (p.folder / "data/dpo/render/mine.tar").write_text(""), None, "", "outputs", "render/mine.tar"
    ),
    "params torn": Kind(
        lambda p: cut(p.folder / "params.yaml"), BUYS, "params.yaml", "params.yaml", "params.yaml"
    ),
    "graph torn": Kind(
        lambda p: change(p.folder / "dvc.yaml", b"stages:", b"stages: ["), None, "", "graph", "dvc.yaml"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with serving(lambda model, messages: "[[start]]A calm scene in soft, even light.[[end]]") as server:
        yield server


@pytest.fixture(scope="module")
def sound(tmp_path_factory, server) -> Place:
    """A project in git, with data, lock and cache, and a store in which its answers lie; for copying."""
    top = tmp_path_factory.mktemp("sound")
    folder = small_project(top)
    write_params(folder, teacher={"backend": "openai", "model": "m", "base_url": server.base_url})
    shutil.copyfile(ROOT / ".gitignore", folder / ".gitignore")
    shutil.copyfile(ROOT / "pipeline/backends/reward/questions.jsonl", folder / "questions.jsonl")
    shutil.copytree(ROOT / "pipeline/templates", folder / "pipeline/templates")
    (folder / ".dvc/tmp").mkdir(parents=True)
    (folder / ".dvc/vpo_account").write_text("0123456789ab\n")
    locked = {}
    for name, stage in read_graph(folder).stages.items():
        outs = [put_into_cache(folder, out) for out in (*stage.outs, *stage.metrics) if (folder / out).exists()]
        locked[name] = {"cmd": "x", "outs": outs}
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": locked}, indent=1))
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return Place(folder, top.with_name("home"))


def put_into_cache(folder: Path, out: str) -> dict[str, str]:
    """Put an output where DVC does; return its entry in the lock."""
    path, md5 = folder / out, hash_path(folder / out)
    inside = [one for one in sorted(path.rglob("*")) if one.is_file()]
    for one in inside or [path]:
        there = object_path(folder / CACHE, hash_path(one))
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one, there)
    if inside:
        listing = [{"md5": hash_path(one), "relpath": one.relative_to(path).as_posix()} for one in inside]
        object_path(folder / CACHE, md5).parent.mkdir(parents=True, exist_ok=True)
        object_path(folder / CACHE, md5).write_text(json.dumps(listing, sort_keys=True))
    return {"path": out, "hash": "md5", "md5": md5}


@pytest.fixture
def place(sound, server, tmp_path, monkeypatch) -> Place:
    """A copy of the sound project, in which we stand, after the run that bought its answers."""
    place = Place(tmp_path / "project", tmp_path / "home")
    shutil.copytree(sound.folder, place.folder)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("VPO_HOME", str(place.home))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert run(BUYS).exit_code == 0
    with Store() as store:
        store.connection.execute("pragma wal_checkpoint(truncate)")
    shutil.rmtree("out")
    return place


def run(words):
    return CliRunner().invoke(stages, words)


def broken(words=()) -> dict[str, str]:
    """Return what the doctor finds broken: check -> what it says with the way out; nothing of the machine itself."""
    result = CliRunner().invoke(vpo, ["doctor", "--json", *words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    checks = json.loads(result.stdout)
    assert all(check["todo"] for check in checks if not check["ok"])
    assert all("\n" not in check["found"] for check in checks)
    return {
        check["name"]: f"{check['found']} -> {check['todo']}"
        for check in checks
        if not check["ok"] and not check["name"].startswith(("disk", "extra", "libraries", "dvc_", "python"))
    }


def test_the_sound_project_is_well(place, server):
    assert broken() == {}
    bought = len(server.requests)
    assert run(BUYS).exit_code == 0 and len(server.requests) == bought


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_one_line_and_buys_nothing(place, server, name):
    kind, bought = KINDS[name], len(server.requests)
    kind.do(place)
    if kind.stage:
        result = run(kind.stage)
        lines = [line for line in result.stderr.splitlines() if line and not line.startswith("  ")]  # progress is
        assert result.exit_code and isinstance(result.exception, SystemExit), result.exception
        assert len(lines) == 1 and kind.says in lines[0]
        assert not list(Path("out").rglob("*.jsonl"))
    if kind.check:
        assert kind.finds in broken()[kind.check]
    assert len(server.requests) == bought
    if not kind.heals:
        return
    assert kind.check not in broken(["--mend"])
    if kind.stage and kind.check != "store":
        assert run(kind.stage).exit_code == 0 and len(server.requests) == bought


def test_a_home_nowhere_is_one_line(place, server, monkeypatch):
    bought = len(server.requests)
    monkeypatch.delenv("VPO_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/nobody")
    result = run(BUYS)
    assert result.exit_code == 1 and "set VPO_HOME to a folder of yours" in result.stderr
    assert "cannot be written" in broken()["VPO_HOME"] and len(server.requests) == bought


def test_a_read_only_folder_is_one_line(place):
    check = check_folders(place.folder, lambda path: path.name != "results")  # root may write everywhere
    assert (check.ok, check.state, check.todo) == (False, "results: read-only", "chmod -R u+w results")


def test_no_room_for_temporary_files_is_one_line():
    def find_none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    check = check_temporary(find_none)
    assert not check.ok and "No usable temporary directory" in check.state and "set TMPDIR" in check.todo


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 256 kB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)  # a connection may not be collected yet


def test_a_full_disk_under_the_store_buys_nothing(place, server, small_disk, monkeypatch):
    bought = len(server.requests)
    monkeypatch.setenv("VPO_HOME", str(small_disk / "home"))
    result = run(BUYS)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert "an answer that is paid for might be lost; make room" in result.stderr and len(server.requests) == bought
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(b"x" * 300_000)
    result = run(BUYS)  # nor is there room for a store
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert len(server.requests) == bought


def test_a_full_disk_under_the_data_is_one_line_and_loses_no_answer(place, server, small_disk):
    bought = len(server.requests)
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(b"x" * 300_000)
    out = small_disk / "fewshot.jsonl"
    result = run((*BUYS[:2], str(out)))
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert f"{out}: no space left on device: make room" in result.stderr and not out.exists()
    (small_disk / "filler").unlink()
    assert run((*BUYS[:2], str(out))).exit_code == 0 and len(server.requests) == bought
