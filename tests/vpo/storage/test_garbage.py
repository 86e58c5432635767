import os
import subprocess

import pytest

from pipeline.runtime.io import write_rows
from pipeline.runtime.store import Store
from schemas.critique import Critique, Vote
from schemas.fewshot import Fewshot
from schemas.render import Render
from tests.support.rows import BY, critique_row, prompt_fields, render_row
from tests.support.stored_answers import HOST, bought, old, purchase, run, stored_keys
from vpo.storage.garbage import cost


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
