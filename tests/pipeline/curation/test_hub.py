import json
import os
import subprocess
import sys

import pytest

from tests.support.fake_hub import Repo, serving

pytestmark = pytest.mark.slow  # together they take a good share of a minute

REVISION = "0123456789abcdef0123456789abcdef01234567"
CSV = (
    "uuid,prompt,time,toxicity,obscene,identity_attack,insult,threat,sexual_explicit\n"
    'u1,"a dog\nruns",Sun Sep  3 12:27:44 2023,0.1,0.2,0,0,0,0.75\n'
    "u2,a cat,Sun Sep  3 12:27:45 2023,0.1,0,0,0,0,0\n"
    "u3,a bird,Sun Sep  3 12:27:46 2023,0.1,0,0,0,0,0\n"
)


@pytest.fixture
def hub():
    """A Hub with one dataset at one commit."""
    with serving() as hub:
        repo = hub.repos["owner/queries"] = Repo(private=False)
        repo.files = {"VidProM_unique.csv": CSV.encode()}
        repo.commits = [{"oid": REVISION, "summary": "the only one"}]
        yield hub


READ = """
import json, sys
from pipeline.curation.sources import join_frames, read_frames
from pipeline.runtime.params_file import load_params

changes = json.loads(sys.argv[1])
params = load_params("params.yaml").queries.model_copy(update=changes)
try:
    print(json.dumps(join_frames(read_frames(params)).rows()))
except Exception as fault:
    print(json.dumps([type(fault).__name__, str(fault)]))
"""


@pytest.fixture
def read_from(root, tmp_path, hub):
    """Read a Hub dataset in a process of its own, since the Hub's address is fixed at import."""

    def call(path, revision, **changes):
        surroundings = os.environ | {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(root),
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        changes = json.dumps({"source": "hub", "path": path, "revision": revision, **changes})
        done = subprocess.run(
            [sys.executable, "-c", READ, changes], cwd=root, env=surroundings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def test_a_hub_dataset_is_streamed_at_its_commit(read_from, hub):
    rows = read_from("owner/queries", REVISION, limit=2)
    assert rows == [
        ["u1", "a dog\nruns", "Sun Sep  3 12:27:44 2023", 0.75, None],
        ["u2", "a cat", "Sun Sep  3 12:27:45 2023", 0.1, None],
    ]
    fetched = [line for line in hub.requests if "/resolve/" in line]
    assert fetched and all(REVISION in line for line in fetched)


def test_a_dataset_or_commit_that_is_not_there_is_told(read_from):
    for path, revision in (("owner/nothing", REVISION), ("owner/queries", "f" * 40)):
        kind, message = read_from(path, revision)
        assert kind == "DataError"
        assert f"{path} at {revision}" in message
        assert "check queries.path and queries.revision" in message
