import json

import pytest

from pipeline.backends.reward.workers import visionreward
from pipeline.backends.reward.workers.visionreward import one_a_second

pytestmark = pytest.mark.usefixtures("vpo_home")


@pytest.mark.parametrize(
    ("n", "per_second", "most", "at"),
    [
        (49, 8, 24, [0, 8, 16, 24, 32, 40, 48]),
        (12, 8, 24, [0, 8]),
        (1, 8, 24, [0]),
        (81, 16, 3, [0, 16, 32]),
        (10, 4, 24, [0, 4, 8]),
        (16, 4, 24, [0, 4, 8, 12, 15]),
        (200, 4, 24, [4 * second for second in range(24)]),
    ],
)
def test_one_frame_a_second_and_never_more_than_asked(n, per_second, most, at):
    assert one_a_second([number / per_second for number in range(n)], most) == at


def test_code_that_is_not_as_recorded_is_named(tmp_path):
    (tmp_path / "modeling.py").write_text("1\n")
    (tmp_path / "visual.py").write_text("2\n")
    recorded = visionreward.code_hashes(tmp_path)
    assert visionreward.differing(visionreward.code_hashes(tmp_path), recorded) == []
    (tmp_path / "visual.py").write_text("3\n")
    (tmp_path / "util.py").write_text("4\n")
    (tmp_path / "modeling.py").unlink()
    changed = visionreward.differing(visionreward.code_hashes(tmp_path), recorded)
    assert changed == ["modeling.py", "util.py", "visual.py"]


def test_code_of_another_repository_is_named(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["tok.Tok", None]}}))
    (tmp_path / "index.json").write_text("[]")
    assert visionreward.code_from_elsewhere(tmp_path) == []
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "them/other--modeling.Model"}}))
    assert visionreward.code_from_elsewhere(tmp_path) == ["config.json: them/other--modeling.Model"]
