import json

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store, store_key
from schemas.base import content_id
from tests.support.stored_answers import bought, completion, old, purchase, run, stored_keys
from vpo.storage.archive import import_answers


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


def test_an_export_goes_into_another_store_and_is_charged_to_nobody(empty_project, tmp_path, monkeypatch):
    bought(empty_project, *(purchase(number, "雪 ja") for number in range(20)))
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


def test_equal_answers_give_equal_bytes(empty_project, tmp_path, monkeypatch):
    rows = [purchase(number) for number in range(50)]
    for name, ordered in (("one", rows), ("two", rows[::-1])):
        monkeypatch.setenv("VPO_HOME", str(tmp_path / name))
        old(bought(empty_project, *ordered), *(row.key for row in rows))
        run("export", tmp_path / f"{name}.zst")
    assert (tmp_path / "one.zst").read_bytes() == (tmp_path / "two.zst").read_bytes()


def test_what_was_imported_is_exported_in_equal_bytes(empty_project, tmp_path, monkeypatch):
    bought(empty_project, *(purchase(number, "雪 ja") for number in range(5)))
    run("export", tmp_path / "one.zst")
    monkeypatch.setenv("VPO_HOME", str(tmp_path / "other"))
    run("import", tmp_path / "one.zst")
    run("export", tmp_path / "two.zst")
    assert (tmp_path / "one.zst").read_bytes() == (tmp_path / "two.zst").read_bytes()


def test_since_leaves_out_what_is_older(empty_project, tmp_path):
    old(bought(empty_project, purchase(1), purchase(2)), purchase(1).key)
    assert run("export", tmp_path / "a.zst", "--since", "2021-01-01").startswith("1 answers")


@pytest.mark.parametrize("secret", ["sk-" + "a" * 30, "a-value-of-the-environment"])
def test_a_key_in_an_answer_stops_the_export(empty_project, tmp_path, monkeypatch, secret):
    monkeypatch.setenv("SOME_API_KEY", "a-value-of-the-environment")
    bought(empty_project, purchase(1), purchase(2, f"it is {secret}."))
    said = run("export", tmp_path / "a.zst", code=1)
    assert purchase(2).key in said and secret not in said
    assert not list(tmp_path.glob("*.zst*"))


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
def test_what_does_not_fit_its_key_or_cannot_be_read_is_refused_and_counted(empty_project, tmp_path, changes, why):
    path = archive(tmp_path / "a.zst", [line(purchase(1)), line(purchase(2), **changes)])
    said = run("import", path)
    assert said.startswith("1 new, 0 already here, 1 refused\n") and why in said
    assert stored_keys() == {purchase(1).key}


def test_a_damaged_file_is_one_line_and_changes_nothing(empty_project, tmp_path):
    bought(empty_project, *(purchase(number) for number in range(400)))
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


def test_a_price_is_never_imported(empty_project, tmp_path):
    request = {"source": "genai-prices 1", "model": "m", "base_url": "https://a.b"}
    price = [store_key("price", **request), "price", "2026-01-01 00:00:00", request, {"input": 0.0, "output": 0.0}]
    said = run("import", archive(tmp_path / "a.zst", [price, line(purchase(1))]))
    assert said.startswith("1 new, 0 already here, 1 refused\n") and "kind 'price' is none of teacher" in said
    assert stored_keys() == {purchase(1).key}


@pytest.mark.parametrize(
    ("bounds", "why"),
    [((5_000, 10**9), "a.zst:3: a line of more than 5000 characters"), ((10**9, 5_000), "a.zst:3: too large")],
)
def test_a_line_without_an_end_and_a_file_without_an_end_are_refused(empty_project, tmp_path, bounds, why):
    path = archive(tmp_path / "a.zst", [line(purchase(1)), line(purchase(2), answer={"text": "x" * 10_000})])
    with Store() as store, pytest.raises(DataError, match=why):
        import_answers(store, path, *bounds)
    assert stored_keys() == set()
