"""The normaliser that says whether two runs of the graph left the same rows."""

import json

import pytest
from click.testing import CliRunner

from bench.same_rows import describe_project, differences, main

WRITER = {"backend": "offline", "model": "grammar", "revision": "1" * 16, "template": "t", "store_key": "k"}
PROMPTS = [
    {"query_id": f"q{number}", "query": "x", "prompt_id": f"p{number}", "prompt": "a fox", "arm": "sft", "sample": 0,
     "written_by": WRITER}
    for number in range(3)
]  # fmt: skip
CLIPS = [
    {**row, "video_id": f"v{number}", "seed": 7, "frames_hash": f"f{number}", "clip_hash": "c", "shard": "a.tar",
     "offset": 512 * number, "size": 90, "replicate": 0, "rendered_by": WRITER}
    for number, row in enumerate(PROMPTS)
]  # fmt: skip
REWARDS = [
    {"video_id": row["video_id"], "query_id": row["query_id"], "reward": "dims", "frames_hash": row["frames_hash"],
     "dims": [{"name": "VQ", "value": 0.5}], "scored_by": WRITER}
    for row in CLIPS
]  # fmt: skip
DROPPED = [{"input_id": "v1", "reason": "no_score", "detail": ""}]
LANE = {"rollout.jsonl": PROMPTS, "render.parquet": CLIPS, "reward.parquet": REWARDS, "reward_dropped.jsonl": DROPPED}


def lane():
    """Return a copy of LANE of which every part may be changed alone."""
    return json.loads(json.dumps(LANE))


def write(folder, files, arm="data/eval/sft", units=3):
    """Write the row files of one arm and a stage's counts into a project."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / arm).mkdir(parents=True)
    for name, rows in files.items():
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), folder / arm / name)
        else:
            (folder / arm / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = folder / arm.replace("data", "results", 1)
    results.mkdir(parents=True)
    counts = {"units_in": units, "units_done": units, "units_dropped": 0, "dropped": {}, "looping": 0}
    (results / "rollout.json").write_text(json.dumps(counts))
    return folder


@pytest.fixture
def before(tmp_path):
    return describe_project(write(tmp_path / "before", LANE))


def compare(before, folder):
    return differences(before, describe_project(folder, before))


def test_another_code_hash_and_another_order_are_the_same_rows(before, tmp_path):
    text = json.dumps(LANE).replace("1" * 16, "2" * 16).replace('"k"', '"l"')
    for number in range(3):
        text = text.replace(f'"v{number}"', f'"w{number}"')
    files = {name: rows[::-1] for name, rows in json.loads(text).items()}
    for row in files["render.parquet"]:
        row |= {"offset": row["offset"] + 512, "shard": "b.tar", "size": 91}
    assert compare(before, write(tmp_path / "after", files)) == []


def test_a_folder_for_the_suite_and_columns_that_came_later_change_nothing(before, tmp_path):
    files = lane()
    for row in files["rollout.jsonl"]:
        row |= {"suite": "test", "target": None}
        row["written_by"] |= {"endpoint": None}
    assert compare(before, write(tmp_path / "after", files, arm="data/eval/test/sft")) == []


CHANGES = [
    ("rollout.jsonl", {"prompt": "a fax"}, "data/eval/sft/rollout.jsonl: column prompt"),
    ("rollout.jsonl", {"written_by": WRITER | {"model": "other"}}, "data/eval/sft/rollout.jsonl: column written_by"),
    ("render.parquet", {"seed": 8}, "data/eval/sft/render.parquet: column seed, column video_id"),
    ("render.parquet", {"clip_hash": "d"}, "data/eval/sft/render.parquet: column clip_hash"),
    ("reward_dropped.jsonl", {"input_id": "v2"}, "data/eval/sft/reward_dropped.jsonl: column input_id"),
]


@pytest.mark.parametrize(("name", "change", "line"), CHANGES)
def test_a_changed_row_is_named_with_its_column(before, tmp_path, name, change, line):
    files = lane()
    files[name][0] |= change
    assert line in compare(before, write(tmp_path / "after", files))


def test_the_revision_of_weights_counts(tmp_path):
    files = lane()
    files["rollout.jsonl"][0]["written_by"] |= {"backend": "transformers"}
    before = describe_project(write(tmp_path / "before", files))
    files["rollout.jsonl"][0]["written_by"] |= {"revision": "3" * 16}
    assert compare(before, write(tmp_path / "after", files)) == ["data/eval/sft/rollout.jsonl: column written_by"]


def test_other_frames_are_told_apart_from_other_columns(before, tmp_path):
    files = lane()
    files["render.parquet"][0]["frames_hash"] = "other"
    (line,) = compare(before, write(tmp_path / "after", files))
    assert line.startswith("data/eval/sft/render.parquet: frames was") and line.endswith("column frames_hash")


def test_a_missing_row_file_and_other_counts_are_told(before, tmp_path):
    files = {name: rows for name, rows in LANE.items() if name != "rollout.jsonl"}
    assert compare(before, write(tmp_path / "after", files, units=2)) == [
        "data/eval/sft/rollout.jsonl: is missing",
        "results/eval/sft/rollout.json: units_in was 3, is 2, units_done was 3, is 2",
    ]


def test_the_command_writes_a_reference_and_fails_where_a_run_differs(tmp_path):
    first, reference = write(tmp_path / "first", LANE), str(tmp_path / "reference.json")
    lines = CliRunner().invoke(main, [str(first), "--write", reference]).output.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["data/eval/sft/render.parquet", "data/eval/sft/reward.parquet"]
    assert CliRunner().invoke(main, [str(first), "--against", reference]).exit_code == 0
    second = write(tmp_path / "second", LANE | {"rollout.jsonl": PROMPTS[:2]})
    failed = CliRunner().invoke(main, [str(second), "--against", reference])
    assert failed.exit_code == 1 and "rows was 3, is 2" in failed.output
