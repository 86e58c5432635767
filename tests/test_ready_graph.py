"""The README's command with ready sets: the whole default graph goes on to a table."""

import json

import pyarrow.parquet as pq
import pytest

from pipeline.runtime.set_aside import read_set_aside
from tests.support.ready_files import write_dpo

pytestmark = pytest.mark.graph


def test_the_default_graph_runs_with_a_published_d_sft_and_a_ready_d_dpo(copy):
    raw = copy.path / "data/raw"
    published = pq.read_table(copy.path / "data/package/sft/train.parquet")
    pq.write_table(published, raw / "sft.parquet")
    pairs = write_dpo(raw, "sharegpt.json")
    change = ("-S", "d_sft.path=data/raw/sft.parquet", "-S", f"d_dpo.path={pairs}")
    done = copy.run("dvc", "exp", "run", *change, "-S", "sft.max_steps=30", "-S", "dpo.train.global_batch_size=4")
    for arm in ("dpo_no_text", "dpo_video_only"):
        assert f"{arm}: set aside, the other arms go on" in done.stdout + done.stderr
        assert "no pairs, so nothing to train on" in str(read_set_aside(copy.path / f"data/models/{arm}"))
    report = json.loads((copy.path / "results/evaluate/all.json").read_text())
    assert set(report["arms"]) == {"original", "fewshot", "base", "sft", "dpo"}
    assert {"dpo - sft", "sft - fewshot"} <= set(report["differences"])
    page = (copy.path / "results/evaluate.md").read_text()
    assert "dpo_no_text is not compared: it was not trained" in page
    read = json.loads((copy.path / "results/sft/d_sft.json").read_text())
    assert read["rows"] == published.num_rows
    checked = copy.run("python", "-m", "vpo", "check", "--json", check=False)
    broken = {name: rows for name, rows in json.loads(checked.stdout).items() if rows}
    assert broken == {}
    assert copy.run("dvc", "status").stdout.count("changed") == 0
