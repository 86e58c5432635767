import subprocess

import pytest

from pipeline.backends.reward.workers.videoalign import BASE, load, refuse_other_code, with_values, with_z_scores


@pytest.fixture
def checkout(tmp_path):
    """Return (folder, commit) of a git repository with one file."""

    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *name, "-C", tmp_path, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "inference.py").write_text("1\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_the_checkout_must_stand_at_its_commit_unchanged(checkout):
    folder, commit = checkout
    refuse_other_code(str(folder), commit)
    with pytest.raises(SystemExit, match=f"stands at {commit}, not at {'0' * 40}"):
        refuse_other_code(str(folder), "0" * 40)
    (folder / "data.py").write_text("2\n")
    with pytest.raises(SystemExit, match="was changed: .* data.py"):
        refuse_other_code(str(folder), commit)


def test_z_scores_stand_beside_the_raw_values():
    norm = {"VQ_mean": 1.0, "VQ_std": 2.0, "MQ_mean": 0.0, "MQ_std": 0.5, "TA_mean": -1.0, "TA_std": 1.0}
    values = with_z_scores({"VQ": 2.0, "MQ": 1.0, "TA": -2.0, "Overall": 1.0}, norm)
    assert values == {"VQ": 2.0, "MQ": 1.0, "TA": -2.0, "VQ_z": 0.5, "MQ_z": 2.0, "TA_z": -1.0}


def test_a_value_that_is_fixed_wins_over_the_authors():
    assert with_values(dict, a=1)(a=2, b=3) == {"a": 1, "b": 3}


@pytest.mark.slow
@pytest.mark.parametrize("unpinned", range(3))
@pytest.mark.parametrize("given", ["main", "", "0" * 39, None])
def test_weights_base_and_code_must_each_be_pinned_to_a_commit(unpinned, given):
    pins = [given if place == unpinned else "0" * 40 for place in range(3)]
    name = ("authors/weights", BASE, "checkout")[unpinned]
    with pytest.raises(SystemExit, match=f"^{name} must be pinned to a 40-hex commit, not {given}$"):
        load("authors/weights", pins[0], "checkout", pins[2], pins[1])
