import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.package import main as package
from tests.support.fake_hub import TOKEN, serving
from tests.support.small_project import ROOT, small_project
from vpo.publish import find_strays

pytestmark = pytest.mark.slow  # together they take a good share of a minute

REPO = "tester/pairs"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    project = small_project(tmp_path_factory.mktemp("packed"))
    inputs = ["data/queries", "data/sft", "data/dpo", "results/queries.json", "data/package"]
    arguments = [*(str(project / name) for name in inputs), "--params", str(project / "params.yaml")]
    done = CliRunner(env={"VPO_HOME": str(project / "home")}).invoke(package, arguments)
    assert done.exit_code == 0, done.output
    return project


@pytest.fixture
def project(packed, tmp_path):
    (tmp_path / "data").symlink_to(packed / "data")
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((packed / name).read_text())
    return tmp_path


@pytest.fixture
def hub():
    with serving() as running:
        yield running


def environment(hub, home: Path, **changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT),
    } | changes  # fmt: skip


def vpo(project, hub, *arguments, **changes):
    return subprocess.run(
        [sys.executable, "-m", "vpo", *arguments], cwd=project, env=environment(hub, project, **changes),
        capture_output=True, text=True,
    )  # fmt: skip


STRAYS = {
    "model.pkl": b"\x80\x04K\x01.", ".env": b"A=1", "notes.txt": b"mine", "train.parquet": b"PAR1", "token.jwt": b"eyJ",
    "key.b64": b"c2VjcmV0", "rows.jsonl.gz": b"\x1f\x8b", "data.zip": b"PK",
    "weights.safetensors": b"0", "run.sh": b"#!",
    "dpo/extra.parquet": b"PAR1", "dpo/.ipynb_checkpoints/x.ipynb": b"{}", "LICENSE": b"MIT",
}  # fmt: skip


def stray(folder, name, content):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", [*STRAYS, "link", "dpo/train.parquet"])
def test_what_package_did_not_write_is_refused_by_its_name(packed, tmp_path, name):
    folder = shutil.copytree(packed / "data/package", tmp_path / "package")
    assert list(find_strays(folder, tmp_path / "cache")) == []
    if name == "link":
        (folder / name).symlink_to("/etc/hostname")
    else:
        stray(folder, name, STRAYS.get(name, b"\x80\x04K\x01."))
    assert any(name.startswith(found.rstrip("/").split(" (")[0]) for found in find_strays(folder, tmp_path / "cache"))


def test_what_dvc_links_from_its_cache_is_no_stray(packed, tmp_path):
    folder = shutil.copytree(packed / "data/package", tmp_path / "package")
    (tmp_path / "cache").mkdir()
    (folder / "README.md").rename(tmp_path / "cache/1234")
    (folder / "README.md").symlink_to(tmp_path / "cache/1234")
    assert list(find_strays(folder, tmp_path / "cache")) == []


def test_a_stray_file_is_named_and_nothing_is_sent(packed, tmp_path, hub):
    shutil.copytree(packed / "data/package", tmp_path / "data/package")
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((packed / name).read_text())
    (tmp_path / "data/package/.env").write_text("A=1")
    done = vpo(tmp_path, hub, "publish", REPO)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "data/package: not sent, stage package did not write .env" in done.stderr


def test_a_dry_run_lists_files_and_commit_and_asks_nobody(project, hub):
    done = vpo(project, hub, "publish", REPO, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dpo/train.parquet" in done.stdout and "README.md" in done.stdout
    assert "commit: vpo package" in done.stdout and "dvc.lock: none" in done.stdout
    assert hub.requests == []


def test_all_files_arrive_in_one_commit(project, hub):
    done = vpo(project, hub, "publish", REPO)
    assert done.returncode == 0, done.stderr
    repo = hub.repos[REPO]
    folder = project / "data/package"
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert repo.files == there
    assert [commit.get("n") for commit in repo.commits] == [None, len(there)]


def test_the_default_transport_sends_the_same_contents(project, hub, tmp_path):
    hub.xet = tmp_path / "xet"
    hub.xet.mkdir()
    done = vpo(project, hub, "publish", REPO, HF_HUB_DISABLE_XET="0")
    assert done.returncode == 0, done.stderr
    assert any(path.is_file() for path in hub.xet.rglob("*"))
    for name, content in hub.repos[REPO].files.items():
        if name.endswith(".parquet"):
            assert content.decode() == hashlib.sha256((project / "data/package" / name).read_bytes()).hexdigest()


def test_publishing_again_makes_no_commit(project, hub):
    vpo(project, hub, "publish", REPO)
    done = vpo(project, hub, "publish", REPO)
    assert done.returncode == 0, done.stderr
    assert "nothing changed" in done.stdout
    assert len(hub.repos[REPO].commits) == 2


def test_a_table_that_is_no_longer_made_is_removed_and_a_persons_file_stays(project, hub):
    vpo(project, hub, "publish", REPO)
    hub.repos[REPO].files |= {"dpo/old.parquet": b"x", "LICENSE": b"mine"}
    assert vpo(project, hub, "publish", REPO).returncode == 0
    assert "dpo/old.parquet" not in hub.repos[REPO].files
    assert hub.repos[REPO].files["LICENSE"] == b"mine"


def test_private_creates_a_private_repository_and_refuses_a_public_one(project, hub):
    assert vpo(project, hub, "publish", "tester/closed", "--private").returncode == 0
    assert hub.repos["tester/closed"].private
    vpo(project, hub, "publish", REPO)
    hub.repos[REPO].files.pop("README.md")
    done = vpo(project, hub, "publish", REPO, "--private")
    assert done.returncode == 1 and "is public" in done.stderr
    assert "README.md" not in hub.repos[REPO].files


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((r"POST .*/commit/", 412), "changed meanwhile"),
        ((r"POST .*/commit/", 500), "the Hub answered 500"),
        ((r"POST .*/repos/create", 403), "role write"),
    ],
)
def test_a_fault_of_the_hub_is_one_clear_line_and_nothing_is_published(project, hub, fault, said):
    hub.faults.append(fault)
    done = vpo(project, hub, "publish", REPO)
    assert done.returncode == 1
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert REPO not in hub.repos or hub.repos[REPO].files == {}


def test_a_wrong_token_is_said_and_never_shown(project, hub):
    done = vpo(project, hub, "publish", REPO, HF_TOKEN="hf_" + "wrong" * 7)
    assert done.returncode == 1
    assert "the token is not accepted" in done.stderr
    assert "wrongwrong" not in done.stdout + done.stderr


def test_without_a_token_nothing_is_asked(project, hub):
    done = vpo(project, hub, "publish", REPO, HF_TOKEN="")
    assert done.returncode == 1 and "no token" in done.stderr
    assert hub.requests == []


def test_a_hub_out_of_reach_is_one_clear_line(project, hub):
    done = vpo(project, hub, "publish", REPO, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "Traceback" not in done.stderr


def test_without_a_package_the_person_is_told_what_to_run(tmp_path, hub):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = vpo(tmp_path, hub, "publish", REPO)
    assert done.returncode == 1 and "dvc repro package" in done.stderr


def test_every_config_loads_back_as_it_was_written(project, hub):
    assert vpo(project, hub, "publish", REPO).returncode == 0
    code = (
        "import json, sys, datasets\n"
        f"for config in ('dpo', 'sft', 'queries'):\n"
        f"    loaded = datasets.load_dataset({REPO!r}, config)\n"
        "    print(json.dumps([config, {split: rows.to_list() for split, rows in loaded.items()}]))\n"
    )
    changes = {"HF_DATASETS_CACHE": str(project / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(hub, project, **changes), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = dict(json.loads(line) for line in done.stdout.splitlines())
    assert set(loaded["queries"]) == {"train", "test"}
    for config, splits in loaded.items():
        for split, rows in splits.items():
            assert rows == pq.read_table(project / f"data/package/{config}/{split}.parquet").to_pylist()
