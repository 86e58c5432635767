"""The command: files in, files out, all of them or none."""

import csv
import hashlib
import json
import shutil
import threading
import time
from collections import Counter

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.curation.kept_vectors import read_vectors
from pipeline.runtime.io import read_rows
from schemas.base import content_id
from schemas.queries import Query, QueryDropped
from schemas.reasons import Reason
from tests.support import tiny_sentences
from tests.support.few_queries import NONE_SAFE, SMALL, UNLIKE


@pytest.fixture
def command(tmp_path, root, vpo_home):
    """Run `queries` on a file with settings of its own; return (result, folder of the project)."""

    def call(content=None, name="q.txt", out="data/queries", seed=0, **changes):
        from pipeline.queries import main

        tree = YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))
        tree["queries"].update(SMALL | changes)
        tree["base"]["seed"] = seed
        tree["queries"]["recheck_template"] = str(root / tree["queries"]["recheck_template"])
        tree["fewshot"]["exemplars"] = str(root / tree["fewshot"]["exemplars"])
        if content is not None:
            (tmp_path / name).write_text(content, encoding="utf-8")
            tree["queries"].update(source="file", path=str(tmp_path / name))
        with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(tree, file)
        outs = [str(tmp_path / f"{out}/{split}.jsonl") for split in ("sft", "dpo", "test")]
        return CliRunner().invoke(main, [*outs, "--params", str(tmp_path / "params.yaml")]), tmp_path

    return call


def written(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("data", "results")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def test_a_folder_outside_data_keeps_what_a_person_put_there(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/my_notes.txt").write_text("mine")
    result, _ = command("\n".join(UNLIKE), out="mine", **NONE_SAFE)
    assert result.exit_code == 0, result.output
    made = {path.name for path in (tmp_path / "mine").iterdir()}
    assert made >= {"my_notes.txt", "sft.jsonl", "dpo.jsonl", "test.jsonl", "queries_dropped.parquet"}
    assert (tmp_path / "mine/my_notes.txt").read_text() == "mine"


def test_the_command_writes_splits_dropped_rows_and_metrics(command):
    result, folder = command("\n".join([*UNLIKE, "hi", UNLIKE[0]]), **NONE_SAFE)
    assert result.exit_code == 0, result.output
    assert sorted(written(folder)) == [
        "data/queries/dpo.jsonl", "data/queries/queries_dropped.parquet", "data/queries/sft.jsonl",
        "data/queries/test.jsonl", "results/queries.json", "results/queries/curation.png", "results/queries/funnel.csv",
        "results/queries/lengths.csv", "results/queries/toxicity.csv",
    ]  # fmt: skip
    funnel = dict(csv.reader((folder / "results/queries/funnel.csv").read_text().splitlines()))
    assert (funnel["raw"], funnel["pass the rules"], funnel["distinct"], funnel["drawn"]) == ("14", "13", "12", "8")
    counts = json.loads((folder / "results/queries.json").read_text())
    assert (counts["units_in"], counts["units_done"], counts["units_dropped"]) == (14, 8, 6)
    assert counts["dropped"] == {"duplicate": 1, "not_sampled": 4, "too_short": 1}
    assert len(counts["source_sha256"]) == 64
    for split in ("sft", "dpo", "test"):
        rows = list(read_rows(folder / f"data/queries/{split}.jsonl", Query))
        assert {row.split for row in rows} == {split}
        assert len(rows) == SMALL[split] == counts["splits"][split]["general"]
    assert len(list(read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped))) == 6


def test_the_seed_draws_the_splits_and_an_exemplars_query_is_in_none(command, root, laptop):
    exemplars = [row["query"] for row in map(json.loads, (root / laptop.fewshot.exemplars).read_text().splitlines())]
    sides = []
    for seed in (0, 1):
        result, folder = command("\n".join([*UNLIKE, *exemplars]), seed=seed, **NONE_SAFE)
        assert result.exit_code == 0, result.output
        rows = [
            row for split in ("sft", "dpo", "test") for row in read_rows(folder / f"data/queries/{split}.jsonl", Query)
        ]
        assert not {row.query for row in rows} & {*exemplars}
        sides.append({row.query: row.split for row in rows})
    assert sides[0] != sides[1]
    counts = json.loads((folder / "results/queries.json").read_text())
    assert counts["dropped"]["benchmark"] > 0


@pytest.mark.slow  # two corpora are curated
def test_the_seed_writes_the_corpus(command):
    texts = []
    for seed in (0, 1):
        result, folder = command(seed=seed, **NONE_SAFE)
        assert result.exit_code == 0, result.output
        left = read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped)
        texts.append({row.raw for row in left if row.reason == Reason.NOT_SAMPLED})
    assert len(texts[0] & texts[1]) < len(texts[0]) / 2  # all but a few of what was written are in no split


def test_a_row_that_cannot_be_read_has_no_length(command):
    result, folder = command(json.dumps([*UNLIKE, 1, 2, 3]), name="q.json", **NONE_SAFE)
    assert result.exit_code == 0, result.output
    shares = list(csv.reader((folder / "results/queries/lengths.csv").read_text().splitlines()))
    assert shares[1][:2] == ["0", "0.0"]


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(command):
    first = written(command("\n".join(UNLIKE))[1])
    again = written(command("\n".join(UNLIKE))[1])
    assert first == again


@pytest.mark.parametrize(
    "content, message",
    [("\n\n", "none of 2 raw queries is left: {'empty': 2}"), ("", "an empty file"), ("hi", "none of 1 raw queries")],
)
def test_without_a_usable_query_nothing_is_written(command, content, message):
    result, folder = command(content)
    assert result.exit_code == 1
    assert message in result.output
    assert written(folder) == {}


def test_a_failed_run_leaves_the_earlier_output_as_it_was(command):
    before = written(command("\n".join(UNLIKE))[1])
    result, folder = command('prompt\n"broken', name="q.csv")
    assert result.exit_code == 1
    assert "broken CSV" in result.output
    assert written(folder) == before


def test_another_run_of_the_stage_is_not_disturbed(command, tmp_path):
    from pipeline.runtime.locks import hold_lock

    holding, done = threading.Event(), threading.Event()

    def hold():
        with hold_lock(tmp_path / "data/queries/dpo.jsonl"):
            holding.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(60)
    try:
        result, folder = command("\n".join(UNLIKE))
    finally:
        done.set()
        holder.join()
    assert result.exit_code == 1
    assert "another run is writing it" in result.output
    assert written(folder) == {}


@pytest.mark.slow
def test_the_synthetic_corpus_fills_the_laptop_s_splits(command, laptop):
    sizes = {name: getattr(laptop.queries, name) for name in SMALL}
    command("\n".join(UNLIKE))  # what numba compiles takes most of the time on a machine that has not done it before
    started = time.process_time()
    result, folder = command(**sizes)
    assert result.exit_code == 0, result.output
    counts = json.loads((folder / "results/queries.json").read_text())
    assert counts["short"] == []
    assert counts["units_done"] == sum(sizes.values())
    assert {"duplicate", "similar", "too_short", "url", "empty", "characters", "keyword"} <= set(counts["dropped"])
    assert time.process_time() - started < 30


@pytest.mark.slow
def test_what_a_killed_run_left_behind_goes(command, tmp_path):
    left = tmp_path / "data/queries/.queries.1.tmp"
    left.mkdir(parents=True)
    (left / "sft.jsonl").write_text("half a row")
    result, _ = command("\n".join(UNLIKE))
    assert result.exit_code == 0
    assert not left.exists()


def test_what_is_prohibited_lies_nowhere_but_as_a_hash(command, tmp_path, vpo_home):
    """The words are followed through everything that the stage writes: data, results, store, state."""
    secrets = ["zyxqv naked child zyxqw", "call zyxqv at +44 20 7946 0958 zyxqw", "zyxqv n4k3d ch1ld zyxqw 🔞"]
    result, folder = command("\n".join([*UNLIKE, *secrets, *secrets]), **NONE_SAFE)
    assert result.exit_code == 0, result.output
    gone = [row for row in read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped) if row.raw is None]
    assert Counter(row.reason for row in gone) == {Reason.PROHIBITED: 4, Reason.PII: 2}
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in secrets}
    assert {row.detail.split()[-1] for row in gone} == digests
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "q.txt"]
    assert any(vpo_home in path.parents for path in files)
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = json.dumps(pq.read_table(path).to_pylist()).encode()
        if path.suffix == ".arrow":
            content = pl.read_ipc(path).write_ndjson().encode()
        assert b"zyxqv" not in content and b"zyxqw" not in content, path
    assert "zyxqv" not in result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample": "stratified", "sample_balance": 0.5, "sample_weights": {"content": {"none": 0.5}}},
        {"keep_flags": True, "max_similarity": 0.9},
    ],
)
def test_rows_added_several_times_give_the_bytes_of_a_run_from_nothing(command, vpo_home, changes):
    words = [" ".join(f"{letter}{number}" for letter in "abcde") for number in range(30)]
    words = [f"{text} {flag}" for text in words for flag in ("", "-ar 16:9", "with a gun", "at +44 20 7946 0958")]
    texts = [*words, "hi", "", *UNLIKE, *(f"{text} today" for text in UNLIKE), UNLIKE[0], "https://x.org/a.png a b c d"]
    for size in (len(texts) // 3, len(texts) // 2, len(texts) - 1, len(texts)):
        result, folder = command("\n".join(texts[:size]), **changes)
        assert result.exit_code == 0, result.output
    assert f"{len(texts) - 1} of {len(texts)} rows are known" in result.output
    added = written(folder)
    shutil.rmtree(vpo_home / "curation")
    result, folder = command("\n".join(texts), **changes)
    assert "known from" not in result.output
    assert written(folder) == added


@pytest.mark.slow
def test_what_means_the_same_leaves_and_appended_rows_give_the_bytes_of_a_run_from_nothing(command, vpo_home, tmp_path):
    model = tiny_sentences.write(tmp_path / "tiny")
    changes = NONE_SAFE | {"semantic": {"model": str(model), "revision": None, "threshold": 0.9}}
    texts = ["the dog runs along a beach", "two hounds on ice", "a puppy sprints near that shore", "one cat on a sofa"]
    for size in (2, 4):
        result, folder = command("\n".join(texts[:size]), **changes)
        assert result.exit_code == 0, result.output
    added = written(folder)
    dropped = read_rows(folder / "data/queries/queries_dropped.parquet", QueryDropped)
    (gone,) = [row for row in dropped if row.reason == Reason.SIMILAR_MEANING]
    assert (gone.raw, gone.score, gone.witness_id) == (texts[2], 1.0, content_id(texts[0]))
    assert json.loads((folder / "results/queries.json").read_text())["semantic"] == {"rows": 4, "left": 3}
    kept = sorted(len(read_vectors(path.parent)[0]) for path in (vpo_home / "curation/vectors").rglob("*.npz"))
    assert kept == [4, 4]  # two files in one folder, two queries each
    shutil.rmtree(vpo_home / "curation")
    result, folder = command("\n".join(texts), **changes)
    assert written(folder) == added
