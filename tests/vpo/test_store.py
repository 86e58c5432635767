import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import DataError, write_rows
from pipeline.runtime.store import Purchase, Store, store_key
from schemas.base import content_id
from schemas.critique import Critique, Vote
from schemas.fewshot import Fewshot
from schemas.render import Render
from tests.support.rows import BY, critique_row, prompt_fields, render_row
from vpo.storage.archive import import_answers
from vpo.store import main

HOST = "api.example.org"


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    folder = tmp_path / "a project"
    (folder / ".dvc").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    return folder


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    assert done.exit_code == code, done.output
    return done.output


def completion(text, finish="stop", **message):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text} | message}
    return {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


def purchase(number, text="ja", status=200, model="m", **more):
    body = {"model": model, "messages": [{"role": "user", "content": f"query {number}"}], "temperature": 0.7}
    request = {"host": HOST, "body": body, "sample": 0}
    answer = {"status": status, "body": completion(text, **more) if status == 200 else more, "latency_s": number / 10}
    return Purchase(store_key("teacher", **request), "teacher", request, answer, (100, 10), 0.01)


def bought(folder, *purchases):
    store = Store()
    store.buy_many(purchases, f"{folder} {HOST} m")
    return store


def old(store, *keys):
    for key in keys:
        store.connection.execute("update answers set at = '2020-01-01 00:00:00' where key = ?", (key,))


def stored_keys():
    with Store() as store:
        return {row[0] for row in store.connection.execute("select key from answers")}


def test_looking_makes_no_store(project, vpo_home):
    assert "no store here yet" in run("stats", code=1)
    assert not vpo_home.exists()


def test_stats_count_answers_tokens_money_time_and_outcomes(project):
    filtered = {"error": {"message": "no", "code": "content_filter"}}
    bought(project, *(purchase(number) for number in range(1, 21)))
    bought(
        project, purchase(31, "", refusal="I will not"), purchase(32, "", finish="length"), purchase(33, " "),
        purchase(34, status=400, **filtered),
    )  # fmt: skip
    found = json.loads(run("stats", "--json"))
    (row,) = found["answers"]
    assert (row["kind"], row["host"], row["model"], row["answers"]) == ("teacher", HOST, "m", 24)
    assert row["outcomes"] == {"content_filter": 1, "empty": 1, "ok": 20, "refused": 1, "truncated": 1}
    assert (row["input_tokens"], row["output_tokens"]) == (2300, 230)
    assert row["usd"] == pytest.approx(0.24) and row["usd_per_1000"] == pytest.approx(10)
    assert (row["median_s"], row["p95_s"]) == (1.3, 3.3)
    old(Store(), purchase(7).key)
    (row,) = json.loads(run("stats", "--json"))["answers"]
    assert row["oldest"] == "2020-01-01 00:00:00" < row["newest"]
    (account,) = found["accounts"]
    assert (account["project"], account["host"], account["model"]) == (str(project), HOST, "m")
    assert "refused 1" in run("stats")


def test_an_export_goes_into_another_store_and_is_charged_to_nobody(project, tmp_path, monkeypatch):
    bought(project, *(purchase(number, "雪 ja") for number in range(20)))
    assert run("export", tmp_path / "a.zst").startswith("20 answers")
    before = Store().get(purchase(3).key)
    monkeypatch.setenv("VPO_HOME", str(tmp_path / "other"))
    store = Store()
    store.put(purchase(0).key, "teacher", {}, {"mine": True})
    assert run("import", tmp_path / "a.zst") == "19 new, 1 already here, 0 refused\n"
    assert store.get(purchase(3).key) == before
    assert store.get(purchase(0).key) == {"mine": True}
    assert store.connection.execute("select count(*) from spent").fetchone() == (0,)
    assert run("import", tmp_path / "a.zst") == "0 new, 20 already here, 0 refused\n"


def test_equal_answers_give_equal_bytes(project, tmp_path, monkeypatch):
    rows = [purchase(number) for number in range(50)]
    for name, ordered in (("one", rows), ("two", rows[::-1])):
        monkeypatch.setenv("VPO_HOME", str(tmp_path / name))
        old(bought(project, *ordered), *(row.key for row in rows))
        run("export", tmp_path / f"{name}.zst")
    assert (tmp_path / "one.zst").read_bytes() == (tmp_path / "two.zst").read_bytes()


def test_since_leaves_out_what_is_older(project, tmp_path):
    old(bought(project, purchase(1), purchase(2)), purchase(1).key)
    assert run("export", tmp_path / "a.zst", "--since", "2021-01-01").startswith("1 answers")


@pytest.mark.parametrize("secret", ["sk-" + "a" * 30, "a-value-of-the-environment"])
def test_a_key_in_an_answer_stops_the_export(project, tmp_path, monkeypatch, secret):
    monkeypatch.setenv("SOME_API_KEY", "a-value-of-the-environment")
    bought(project, purchase(1), purchase(2, f"it is {secret}."))
    said = run("export", tmp_path / "a.zst", code=1)
    assert purchase(2).key in said and secret not in said
    assert not list(tmp_path.glob("*.zst*"))


def archive(path, lines, answers=None):
    import pyarrow as pa

    head = {"format": "vpo store 1", "answers": len(lines) if answers is None else answers}
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write("".join(json.dumps(line) + "\n" for line in (head, *lines)).encode())
    return path


def line(one, **changes):
    row = {"key": one.key, "kind": one.kind, "at": "2026-01-01 00:00:00", "request": one.request, "answer": one.answer}
    return list((row | changes).values())


def asked(request):
    """A request of a stranger's making, with the key that fits it."""
    return {"key": content_id("teacher", request), "request": request}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": "0" * 16}, "is not that of its request"),
        ({"request": purchase(9).request}, "is not that of its request"),
        ({"kind": "price"}, "is not that of its request"),
        ({"answer": {"status": 200, "body": {"choices": []}}}, "0 choices, where 1 was asked for"),
        ({"answer": "yes"}, "no object"),
        ({"answer": {"text": "yes"}}, "without status and body"),
        ({"answer": {"status": 400, "body": {}}}, "an error without words"),
        ({"answer": {"status": 200, "body": completion("\ud83d")}}, "half a character"),
        (asked({"kind": "teacher", "body": 1}), "a request without body"),
        (asked({"body": {"n": 10**15}}), "n is not a number"),
        ({"request": ["a"]}, "not an answer's values"),
    ],
)
def test_what_does_not_fit_its_key_or_cannot_be_read_is_refused_and_counted(project, tmp_path, changes, why):
    path = archive(tmp_path / "a.zst", [line(purchase(1)), line(purchase(2), **changes)])
    said = run("import", path)
    assert said.startswith("1 new, 0 already here, 1 refused\n") and why in said
    assert stored_keys() == {purchase(1).key}


def test_a_price_is_never_imported(project, tmp_path):
    request = {"source": "genai-prices 1", "model": "m", "base_url": "https://a.b"}
    price = [store_key("price", **request), "price", "2026-01-01 00:00:00", request, {"input": 0.0, "output": 0.0}]
    said = run("import", archive(tmp_path / "a.zst", [price, line(purchase(1))]))
    assert said.startswith("1 new, 0 already here, 1 refused\n") and "kind 'price' is none of teacher" in said
    assert stored_keys() == {purchase(1).key}


@pytest.mark.parametrize(
    ("bounds", "why"),
    [((5_000, 10**9), "a.zst:3: a line of more than 5000 characters"), ((10**9, 5_000), "a.zst:3: too large")],
)
def test_a_line_without_an_end_and_a_file_without_an_end_are_refused_at_their_bounds(project, tmp_path, bounds, why):
    path = archive(tmp_path / "a.zst", [line(purchase(1)), line(purchase(2), answer={"text": "x" * 10_000})])
    with Store() as store, pytest.raises(DataError, match=why):
        import_answers(store, path, *bounds)
    assert stored_keys() == set()


def test_a_damaged_file_is_one_line_and_changes_nothing(project, tmp_path):
    bought(project, *(purchase(number) for number in range(400)))
    run("export", tmp_path / "whole.zst")
    with Store() as store:
        store.connection.execute("delete from answers")
    whole = (tmp_path / "whole.zst").read_bytes()
    for number, content in enumerate(
        [whole[: len(whole) // 2], whole[:-3], b"", b"hello\n", whole[:900] + b"\0\0\0\0" + whole[904:]]
    ):
        (tmp_path / f"{number}.zst").write_bytes(content)
        said = run("import", tmp_path / f"{number}.zst", code=1)
        assert len(said.splitlines()) == 1 and f"{number}.zst" in said, said
    short = archive(tmp_path / "short.zst", [line(purchase(1))], answers=2)
    assert "ends after 1 of 2 answers" in run("import", short, code=1)
    assert "not the 5 values" in run("import", archive(tmp_path / "list.zst", [line(purchase(1)), ["a"]]), code=1)
    assert stored_keys() == set()


def put_clip(store, key, text=b"mp4"):
    path = store.file(key, ".mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.utime(path, (0, 0))
    store.put(key, "clip", {"video_id": key}, {"video_id": key})
    return path


def by(key):
    return BY.model_copy(update={"store_key": key})


def test_gc_keeps_what_rows_refer_to_in_data_and_in_the_cache(project):
    store = Store()
    for number in range(6):
        store.put(f"p{number}", "policy", {}, {"text": "x"})
    clips = {key: put_clip(store, key) for key in ("v1", "v2")}
    old(store, *(f"p{number}" for number in range(6)), "v1", "v2")
    fields = prompt_fields()
    write_rows(project / "data/a.jsonl", [Fewshot(**fields | {"written_by": by("p0")})], Fewshot)
    vote = Vote(aligned=False, violated=(), reason=None, store_key="p1")
    judged = critique_row().model_copy(update={"votes": (vote,), "critique_by": by("p2")})
    cached = project / ".dvc/cache/files/md5/00/1234"
    write_rows(cached.with_suffix(".jsonl"), [judged], Critique)
    cached.with_suffix(".jsonl").rename(cached)
    write_rows(project / "data/dpo/render.parquet", [render_row("v1").model_copy(update={"rendered_by": by("v1")})],
               Render)  # fmt: skip
    said = run("gc", "--made", "--dry-run")
    assert "4 answers that no row refers to" in said and len(stored_keys()) == 8
    run("gc", "--made", "--yes")
    assert stored_keys() == {"p0", "p1", "p2", "v1"}
    assert clips["v1"].exists() and not clips["v2"].exists()


def test_gc_keeps_what_is_young_and_what_cost_money(project):
    store = bought(project, purchase(1))
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
    assert store.read_spent_usd(f"{project} {HOST} m") == pytest.approx(0.01)


def test_gc_keeps_the_rows_of_other_projects_that_spend_from_this_store(project, tmp_path):
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


def test_gc_mends_clips_without_a_file_and_files_without_an_answer(project):
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


def test_gc_asks_before_it_removes(project):
    store = Store()
    store.put("old", "price", {}, {})
    old(store, "old")
    assert CliRunner().invoke(main, ["gc"], input="n\n").exit_code == 1
    assert stored_keys() == {"old"}
    assert CliRunner().invoke(main, ["gc"], input="y\n").exit_code == 0
    assert stored_keys() == set()


def test_gc_wants_to_know_the_project(project, tmp_path, monkeypatch):
    Store()
    monkeypatch.chdir(tmp_path)
    assert "no project here or above" in run("gc", "--yes", code=1)


@pytest.mark.parametrize("text", ["", "30", "x", "d", "5w", "9999999999999d"])
def test_an_age_that_is_none_is_refused(project, text):
    Store()
    run("gc", "--older-than", text, code=2)


def test_no_command_but_those_that_write_needs_more_than_the_base_packages():
    code = "import sys; import vpo.store; print([n for n in ('pyarrow', 'openai', 'duckdb') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
