import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.curation.filters import filter_rows
from pipeline.curation.rules import check_readable
from pipeline.curation.saved_state import hash_rules, resume
from pipeline.curation.sources import Raw, to_frame

PIECES = st.sampled_from("fox runs red snow deep in the -ar 16:9 www.x.org é".split(" "))
TEXT = st.lists(PIECES, max_size=9).map(" ".join)
TEXTS = [
    f"a fox number {number} runs in the {word} snow" for number, word in enumerate("deep red old new wet dry".split())
]


@pytest.fixture(scope="session")
def params(laptop):
    return laptop.queries.model_copy(update={"max_similarity": 0.9, "min_words": 1})


def rows_of(texts, params):
    return check_readable(to_frame([Raw(str(number), text) for number, text in enumerate(texts)]), params)


def facts(result):
    return (
        result.n_rows, result.refused.rows(), result.facts.rows(), result.first.tolist(), result.tokens.words.tolist(),
        result.tokens.starts.tolist(), result.tokens.vocabulary.to_list(), result.witnesses.row.tolist(),
        result.witnesses.score.tolist(), result.witnesses.same.tolist(),
        [matches.tolist() for matches in result.matches], result.self_bleu,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(params, tmp_path_factory):
    """Return save(sizes) -> (folder of the state after runs of so many rows, facts of the last); for reading alone."""
    folders = {}

    def save(*sizes):
        if sizes not in folders:
            folder = tmp_path_factory.mktemp("saved")
            for size in sizes:
                whole = facts(resume(rows_of(TEXTS[:size], params), params, folder))
            folders[sizes] = folder, whole
        return folders[sizes]

    return save


def test_what_is_known_is_read_and_the_rest_is_added(params, tmp_path, capsys):
    rows = rows_of(TEXTS, params)
    whole = facts(filter_rows(rows, params))
    resume(rows[:4], params, tmp_path)
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "4 of 6 rows are known" in capsys.readouterr().err
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "6 of 6 rows are known" in capsys.readouterr().err


def damage_file(path, damage):
    """Flip a byte in a file's midst, cut it in halves, remove it, or put another run's file in its place."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    if damage == "gone":
        path.unlink()
    elif damage == "another's":
        kind, _, run = path.stem.partition("-")
        other = {"0": "1", "1": "0"}.get(run)
        path.write_bytes(path.with_name(f"{kind}-{other}{path.suffix}").read_bytes() if other else b"")
    else:
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])


@pytest.mark.parametrize(
    "name", ["refused-0.arrow", "facts-0.arrow", "words-0.npy", "matches_kept-0.npy", "state.json"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_state_is_noticed_and_written_anew(params, saved, tmp_path, capsys, name, damage):
    rows = rows_of(TEXTS, params)
    folder, whole = saved(len(rows))
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damage_file(tmp_path / name, damage)
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "known" not in capsys.readouterr().err
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "6 of 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["facts-0.arrow", "first-1.npy", "vocabulary-1.arrow", "starts-2.npy", "matches_passed-2.npy"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "another's"])
def test_a_damaged_file_of_any_run_is_noticed_and_written_anew(params, saved, tmp_path, capsys, name, damage):
    rows = rows_of(TEXTS, params)
    folder, whole = saved(2, 4, 6)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damage_file(tmp_path / name, damage)
    capsys.readouterr()
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "known" not in capsys.readouterr().err
    assert facts(resume(rows, params, tmp_path)) == whole
    assert "6 of 6" in capsys.readouterr().err


def test_more_rows_leave_the_files_of_those_before_as_they_are(params, tmp_path):
    rows = rows_of(TEXTS, params)
    resume(rows[:4], params, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != "state.json"}
    resume(rows, params, tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    gone = set(before) - set(after)
    assert gone == {"matches_passed-0.npy", "matches_kept-0.npy"}
    assert {name: after[name] for name in set(before) - gone} == {name: before[name] for name in set(before) - gone}
    named = [name for *_, files in json.loads((tmp_path / "state.json").read_text())["parts"] for name in files]
    assert set(after) == {"state.json", *named}


def test_a_run_that_ends_while_it_writes_leaves_the_state_before(params, tmp_path, capsys):
    rows = rows_of(TEXTS, params)
    resume(rows[:4], params, tmp_path)
    state = (tmp_path / "state.json").read_bytes()
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*-0.npy")}
    resume(rows, params, tmp_path)
    # as it is where all files but the last are in place
    (tmp_path / "state.json").write_bytes(state)
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    capsys.readouterr()
    assert facts(resume(rows, params, tmp_path)) == facts(filter_rows(rows, params))
    assert "4 of 6 rows are known" in capsys.readouterr().err


SAVING = """
import sys
from pathlib import Path
from pipeline.curation import saved_state
from pipeline.runtime.params_file import load_params
from tests.pipeline.curation.test_saved_state import TEXTS, facts, rows_of
params = load_params(sys.argv[1]).queries
for at in range(20):
    rows = rows_of(TEXTS[: 2 + (int(sys.argv[3]) + at) % 5], params)
    state = facts(saved_state.resume(rows, params, Path(sys.argv[2])))
    assert state == facts(saved_state.filter_rows(rows, params))
"""


@pytest.mark.slow
def test_processes_that_keep_one_state_take_turns(root, tmp_path):
    env = os.environ | {"PYTHONPATH": str(root)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SAVING, root / "params.yaml", tmp_path / "state", str(shift)],
            env=env, cwd=root, stderr=subprocess.PIPE, text=True,
        )
        for shift in (0, 1, 3)
    ]  # fmt: skip
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors


@pytest.mark.parametrize("texts", [["another fox", *TEXTS[1:]], TEXTS[:3], [None, *TEXTS[1:]]])
def test_a_state_of_other_rows_is_not_used(params, tmp_path, capsys, texts):
    resume(rows_of(TEXTS, params), params, tmp_path)
    rows = rows_of(texts, params)
    assert facts(resume(rows, params, tmp_path)) == facts(filter_rows(rows, params))
    assert "known" not in capsys.readouterr().err


def test_another_rule_has_another_state_and_another_split_has_not(params):
    assert hash_rules(params) == hash_rules(params.model_copy(update={"sft": 7, "unsafe_threshold": 0.9}))
    assert hash_rules(params) != hash_rules(params.model_copy(update={"max_words": 7}))
    assert hash_rules(params) != hash_rules(params.model_copy(update={"max_similarity": 0.8}))


def test_no_state_is_a_pickle(params, tmp_path):
    resume(rows_of(TEXTS, params), params, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".arrow", ".npy", ".json"}
    for path in tmp_path.glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype != object
    assert json.loads((tmp_path / "state.json").read_text())["parts"][-1][0] == 6


def test_the_two_states_of_a_source_that_were_used_last_stay(params, tmp_path):
    rows = rows_of(TEXTS, params)
    for name in ("one-video", "two-video", "one-other", "one-video", "three-video"):
        resume(rows, params, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"one-video", "three-video", "one-other"}


def test_rows_that_come_in_many_parts_are_known_all_the_same(params, tmp_path, capsys):
    rows = rows_of(TEXTS, params)
    for size in range(1, len(rows) + 1):
        resume(rows[:size], params, tmp_path / "state-of")
    assert facts(resume(rows, params, tmp_path / "state-of")) == facts(filter_rows(rows, params))
    assert "6 of 6 rows are known" in capsys.readouterr().err
    other = rows_of([*TEXTS[:2], "another fox", *TEXTS[3:]], params)
    resume(other, params, tmp_path / "state-of")
    assert "known" not in capsys.readouterr().err
