import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.runtime.io import write_rows
from pipeline.runtime.store import Store
from schemas.critique import Critique, Vote
from schemas.fewshot import Fewshot
from schemas.render import Render
from tests.support.rows import BY, critique_row, prompt_fields, render_row
from tests.support.stored_answers import HOST, bought, old, purchase, run, stored_keys
from vpo.storage.garbage import Garbage, cache, cost, find_garbage, keys_in, references, remove


def put_clip(store, key, text=b"mp4"):
    path = store.file(key, ".mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.utime(path, (0, 0))
    store.put(key, "clip", {"video_id": key}, {"video_id": key})
    return path


def by(key):
    return BY.model_copy(update={"store_key": key})


def test_gc_keeps_what_rows_refer_to_in_data_and_in_the_cache(empty_project):
    store = Store()
    for number in range(6):
        store.put(f"p{number}", "policy", {}, {"text": "x"})
    clips = {key: put_clip(store, key) for key in ("v1", "v2")}
    old(store, *(f"p{number}" for number in range(6)), "v1", "v2")
    fields = prompt_fields()
    write_rows(empty_project / "data/a.jsonl", [Fewshot(**fields | {"written_by": by("p0")})], Fewshot)
    vote = Vote(aligned=False, violated=(), reason=None, store_key="p1")
    judged = critique_row().model_copy(update={"votes": (vote,), "critique_by": by("p2")})
    cached = empty_project / ".dvc/cache/files/md5/00/1234"
    write_rows(cached.with_suffix(".jsonl"), [judged], Critique)
    cached.with_suffix(".jsonl").rename(cached)
    rendered = render_row("v1").model_copy(update={"rendered_by": by("v1")})
    write_rows(empty_project / "data/dpo/render.parquet", [rendered], Render)
    said = run("gc", "--made", "--dry-run")
    assert "4 answers that no row refers to" in said and len(stored_keys()) == 8
    run("gc", "--made", "--yes")
    assert stored_keys() == {"p0", "p1", "p2", "v1"}
    assert clips["v1"].exists() and not clips["v2"].exists()


def test_gc_keeps_what_is_young_and_what_cost_money(empty_project):
    store = bought(empty_project, purchase(1))
    store.put("young", "policy", {}, {"text": "x"})
    store.put("old", "policy", {}, {"text": "x"})
    store.put("served", "policy", {}, {"status": 200, "body": {}})
    old(store, "old", "served", purchase(1).key)
    run("gc", "--yes")
    assert len(stored_keys()) == 4
    run("gc", "--yes", "--made")
    assert stored_keys() == {"young", "served", purchase(1).key}
    run("gc", "--yes", "--paid", "--older-than", "90d")
    assert stored_keys() == {"young"}
    assert store.read_spent_usd(f"{empty_project} {HOST} m") == pytest.approx(0.01)


def test_gc_keeps_the_rows_of_other_projects_that_spend_from_this_store(empty_project, tmp_path):
    other = tmp_path / "other"
    store = bought(other, purchase(1), purchase(2))
    old(store, purchase(1).key, purchase(2).key)
    said = run("gc", "--yes", "--paid")
    assert f"{other} is not there" in said and len(stored_keys()) == 2
    write_rows(other / "data/a.jsonl", [Fewshot(**prompt_fields() | {"written_by": by(purchase(1).key)})], Fewshot)
    run("gc", "--yes", "--paid")
    assert stored_keys() == {purchase(1).key}
    subprocess.run(["rm", "-r", str(other)], check=True)
    run("gc", "--yes", "--paid", "--gone", other)
    assert stored_keys() == set()


def test_gc_mends_clips_without_a_file_and_files_without_an_answer(empty_project):
    store = Store()
    put_clip(store, "lost").unlink()
    orphan = put_clip(store, "orphan")
    store.forget("orphan")
    fresh = put_clip(store, "fresh")
    store.forget("fresh")
    os.utime(fresh)
    run("gc", "--yes")
    assert stored_keys() == set()
    assert fresh.exists() and not orphan.exists()


@pytest.mark.parametrize(
    ("kind", "of_endpoint", "price"),
    [
        ("price", False, "price"),
        ("clip", False, "made"),
        ("policy", False, "made"),
        ("clip", True, "paid"),
        ("teacher", True, "paid"),
    ],
)
def test_an_answer_costs_money_where_an_endpoint_gave_it(kind, of_endpoint, price):
    assert cost(kind, of_endpoint) == price


def test_what_goes_and_stays_is_said_with_its_numbers():
    garbage = Garbage(
        unreferred=["a", "b"], without_file=["c"], files=[Path("x"), Path("y"), Path("z"), Path("w")],
        n_bytes=1_234_567,
        n_referred=9, projects=[Path("/here")], unreachable=["/gone"],
    )  # fmt: skip
    assert list(garbage.lines()) == [
        "9 keys are referred to by the rows of:",
        "  /here",
        "  /gone is not there: what cost money stays, unless --gone says that it will not come back",
        "2 answers that no row refers to",
        "1 answers whose file is lost",
        "4 files of no answer that stays; together 1.23 MB",
    ]
    assert garbage.answers == 3 and garbage


@pytest.mark.parametrize(("values", "some"), [
    ({}, False), ({"unreferred": ["a"]}, True), ({"without_file": ["a"]}, True), ({"files": [Path("a")]}, True),
    ({"n_referred": 3, "n_bytes": 4}, False),
])  # fmt: skip
def test_there_is_garbage_where_an_answer_or_a_file_may_go(values, some):
    assert bool(Garbage(**values)) == some


def test_the_bytes_of_what_goes_are_those_of_answers_and_files(empty_project):
    store = Store()
    put_clip(store, "v1", b"x" * 1000)
    put_clip(store, "v2", b"x" * 50).unlink()
    put_clip(store, "v3", b"x" * 70)
    old(store, "v1", "v2", "v3")
    referred = render_row("v3").model_copy(update={"rendered_by": by("v3")})
    write_rows(empty_project / "data/dpo/render.parquet", [referred], Render)
    garbage = find_garbage(store, timedelta(days=30), [empty_project], made=True)
    assert (garbage.unreferred, garbage.without_file, [path.stem for path in garbage.files]) == (["v1"], ["v2"], ["v1"])
    n_answer = len('{"video_id": "v1"}') * 2
    assert garbage.n_bytes == 1000 + 2 * n_answer and garbage.n_referred == 1
    assert remove(store, garbage) >= 1000 and stored_keys() == {"v3"}


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        ({}, ".dvc/cache"),
        ({"config": "[cache]\ndir = /elsewhere\n"}, "/elsewhere"),
        ({"config": "[cache]\ndir = /a\n", "config.local": "[cache]\ndir = ../b\n"}, ".dvc/../b"),
        ({"config": "[core]\nremote = x\n"}, ".dvc/cache"),
        ({"config": "[cache]\ndir = /a\n", "config.local": "[cache]\ndir = \n"}, "/a"),
    ],
)
def test_the_cache_of_a_project_is_where_its_last_config_says(tmp_path, config, folder):
    (tmp_path / ".dvc").mkdir()
    for name, text in config.items():
        (tmp_path / ".dvc" / name).write_text(text)
    assert cache(tmp_path) == tmp_path / folder


def test_keys_are_found_in_lines_and_tables_and_in_nothing_else(tmp_path):
    lines = tmp_path / "a"
    lines.write_text(
        '{"x": {"store_key": "k1"}, "votes": [{"store_key":"k2"}]}\n{"store_key": null}\n{"store_key": "k3"}'
    )
    assert list(keys_in(lines)) == ["k1", "k2", "k3"]
    (tmp_path / "b").write_text('["store_key", {"store_key": "k4"}]')
    assert list(keys_in(tmp_path / "b")) == []
    for name in ("c.jsonl", "c.tar", "c.dir", "c.safetensors"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text(f'{{"store_key": "{name}"}}')
    assert list(references(tmp_path)) == ["c.jsonl"]
