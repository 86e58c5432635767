"""The stage on files that someone meant badly, or that broke on their way."""

import json
import os
import resource
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.queries import main
from pipeline.runtime.io import read_rows
from schemas.queries import Query, QueryDropped

pytestmark = pytest.mark.slow  # together they take a good share of a minute

MOST_MEMORY = 3 << 30  # bytes of address space; numba and polars map much that they never touch
SMALL = dict.fromkeys(("sft", "dpo", "test"), 2) | dict.fromkeys(("sft_safety", "dpo_safety", "test_safety"), 0)
GOOD = [f"{a} near the {b} under {a}{b} clouds" for a, b in zip("abcdefgh", "mnopqrst", strict=True)]


@pytest.fixture
def params(root, tmp_path):
    """Write a source and the params that name it; return the stage's arguments."""

    def write(name, content, **changes):
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        tree = YAML().load((root / "params.yaml").read_text(encoding="utf-8"))
        tree["queries"] |= {"source": "file", "path": str(path), **SMALL, **changes}
        tree["queries"]["recheck_template"] = str(root / tree["queries"]["recheck_template"])
        tree["fewshot"]["exemplars"] = str(root / tree["fewshot"]["exemplars"])
        with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(tree, file)
        outs = [str(tmp_path / f"data/queries/{split}.jsonl") for split in ("sft", "dpo", "test")]
        return [*outs, "--params", str(tmp_path / "params.yaml")]

    return write


@pytest.fixture
def stage(params, tmp_path, vpo_home):
    """Run `queries` on a source; return (exit code, what it said, folder)."""

    def run(name, content, **changes):
        done = CliRunner().invoke(main, params(name, content, **changes))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done.exit_code, done.output, tmp_path

    return run


def bounded(arguments, root, home):
    """Run `python -m pipeline queries` in a process of its own that may not take more than MOST_MEMORY."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "queries", *arguments],
        cwd=root, env=os.environ | {"VPO_HOME": str(home)}, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY)),
    )  # fmt: skip


def reasons(folder):
    dropped = read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped)
    return {row.input_id: row.reason for row in dropped}


def kept(folder):
    splits = ("sft", "dpo", "test")
    return [row.query for split in splits for row in read_rows(folder / f"data/queries/{split}.jsonl", Query)]


REFUSED = {
    "no rows": ("q.csv", "prompt\n", "holds no queries"),
    "an empty file": ("q.parquet", b"", "an empty file"),
    "a column that is missing": ("q.csv", "words,n\na dog,1\n", "it has words, n"),
    "a broken quote": ("q.csv", 'prompt,n\n"a dog,1\na cat,2\n', "broken CSV in the row that starts at line 2"),
    "a quote inside": ("q.csv", 'prompt\n"a "dog" runs"\n', "broken CSV in the row that starts at line 2"),
    "cut JSON": ("q.json", '["a dog", "a c', "not JSON"),
    "deep JSON": ("q.json", "[" * 200_000, "not JSON"),
    "another encoding": ("q.txt", "caf\u00e9\n".encode("latin-1"), "is not UTF-8"),
    "not a query among them": ("q.jsonl", '{"prompt": 1}\n{"prompt": null}\n', "none of 2 raw queries is left"),
    "numbers for text": ("q.parquet", pa.table({"prompt": [1, 2]}), "none of 2 raw queries is left"),
}


@pytest.mark.parametrize("name, content, message", REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_used_is_told_in_one_line(stage, name, content, message):
    code, output, folder = stage(name, content)
    assert code == 1, output
    error = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert len(error) == 1 and message in error[0]
    assert not (folder / "data").exists() or not list((folder / "data").rglob("*.*"))


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_parquet_file_that_was_cut_is_told(stage, tmp_path, part):
    pq.write_table(pa.table({"prompt": GOOD * 2000}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    code, output, _ = stage("q.parquet", whole[: int(len(whole) * part)])
    assert code == 1 and "copy or download it again" in output


def test_a_parquet_file_with_a_damaged_page_is_told(stage, tmp_path):
    pq.write_table(pa.table({"prompt": [f"{text} {n}" for n in range(500) for text in GOOD]}), tmp_path / "w.parquet")
    whole = bytearray((tmp_path / "w.parquet").read_bytes())
    whole[100:3000] = bytes(2900)
    code, output, _ = stage("q.parquet", bytes(whole))
    assert code == 1 and "copy or download it again" in output


BIG = 10_000_000
HOSTILE = {
    "10 MB of a letter": ("x" * BIG, "too_long"),
    "10 MB of words": ("dog " * (BIG // 4), "too_long"),
    "10 MB of entities": ("&amp;" * (BIG // 5), "too_long"),
    "10 MB of flags": ("-ar 16:9 " * (BIG // 9), "too_long"),
    "nothing but NUL": ("\x00" * 50, "empty"),
    "control characters": ("\x01\x02\x7f\u200b", "empty"),
    "one letter, a thousand marks": ("a" + "\u0301" * 1000, "too_short"),
    "a bomb of ligatures": ("\ufdfa" * 300, "too_long"),
    "a long word": ("w" * 600 + " dog", "too_short"),
    "nested quotes": ('"' * 500, "characters"),
    "right to left": ("\u202e" * 100, "empty"),
    "digits": ("1" * 500, "too_short"),
}


@pytest.mark.slow
def test_hostile_queries_leave_with_a_reason_in_bounded_memory_and_the_others_stay(params, root, tmp_path, vpo_home):
    rows = [{"id": name, "prompt": text} for name, (text, _) in HOSTILE.items()]
    rows[3:3] = [{"id": f"good {number}", "prompt": text} for number, text in enumerate(GOOD)]
    done = bounded(params("q.jsonl", "\n".join(map(json.dumps, rows))), root, vpo_home)
    assert done.returncode == 0, done.stderr
    assert len(kept(tmp_path)) == 6
    reason_counts = reasons(tmp_path)
    assert {name: reason_counts[name] for name in HOSTILE} == {name: reason for name, (_, reason) in HOSTILE.items()}


@pytest.mark.parametrize("name", ["q.csv", "q.txt", "q.jsonl", "q.parquet"])
def test_a_nul_in_a_query_is_cleaned_away_in_every_format(stage, name):
    texts = [*GOOD, "a red fox\x00 runs in snow"]
    content = {
        "q.csv": "prompt\n" + "\n".join(texts),
        "q.txt": "\n".join(texts),
        "q.jsonl": "\n".join(map(json.dumps, texts)),
        "q.parquet": pa.table({"prompt": texts}),
    }[name]
    code, output, folder = stage(name, content, sft=9)
    assert code == 0, output
    assert "a red fox runs in snow" in kept(folder)


def test_half_a_character_is_replaced(stage):
    lines = [json.dumps(text) for text in GOOD] + ['"a red \\ud83d fox runs"', '"\\udc00"']
    code, output, folder = stage("q.jsonl", "\n".join(lines), sft=9)
    assert code == 0, output
    assert "a red \ufffd fox runs" in kept(folder)
    assert reasons(folder)["9"] in ("too_short", "characters")


def test_half_a_character_that_is_not_utf_8_is_told_with_its_place(stage):
    code, output, _ = stage("q.txt", "a dog \ud83d runs\n")
    assert code == 1 and "byte 6 is not UTF-8" in output


def test_rows_that_are_all_equal_leave_one(stage):
    code, output, folder = stage("q.txt", "a red fox runs in snow\n" * 20_000)
    assert code == 0, output
    assert kept(folder) == ["a red fox runs in snow"]
    assert set(reasons(folder).values()) == {"duplicate"} and len(reasons(folder)) == 19_999
    counts = json.loads((folder / "results/queries.json").read_text())
    drawn = {name: split["general"] for name, split in counts["splits"].items()}
    assert sorted(drawn.values()) == [0, 0, 1]
    assert counts["short"] == [f"{name} has {n} of 2 general queries" for name, n in drawn.items()]


def test_a_source_of_one_row_is_drawn(stage):
    code, output, folder = stage("q.txt", "a red fox runs in snow")
    assert code == 0, output
    assert kept(folder) == ["a red fox runs in snow"]


def test_ids_that_are_no_text_or_repeat_name_rows_all_the_same(stage):
    table = pa.table({"id": [1, 1, None, 2**40], "prompt": GOOD[:4]})
    code, output, folder = stage("q.parquet", table)
    assert code == 0, output
    assert len(kept(folder)) == 4


def test_a_csv_with_shifted_columns_repeats_nobody_s_text(stage):
    rows = [f"{text},0.1" for text in GOOD] + ["secret,a naked child zyxqv", "0.3,mail zyxqv@x.org"]
    code, output, folder = stage("q.csv", "prompt,toxicity\n" + "\n".join(rows))
    assert code == 0, output
    dropped = list(read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped))
    assert Counter(row.reason for row in dropped) == {"unreadable": 2, "not_sampled": 2}
    assert "zyxqv" not in "".join(row.model_dump_json() for row in dropped)


def test_a_benchmark_list_that_is_missing_is_told_before_the_work(stage):
    code, output, folder = stage("q.txt", "\n".join(GOOD), benchmarks=["no/such/list.txt"])
    assert code == 1
    assert "no/such/list.txt: no such file; put it there, or take it out of queries.benchmarks" in output
    assert not (folder / "data").exists() or not list((folder / "data").rglob("*.*"))


def test_weights_for_what_is_not_there_are_told(stage):
    changes = {"sample": "stratified", "sample_balance": 0.5, "sample_weights": {"content": {"fish": 2}}}
    code, output, _ = stage("q.txt", "\n".join(GOOD), **changes)
    assert code == 1 and "no value 'fish'; there are none, person" in output
