"""What the tests of checklists and of yes-or-no models share."""

import numpy as np
import pytest

from pipeline.video.clips import encode
from tests.support.made_questions import WORDS
from tests.support.params import section_of


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Model folders of tiny scorers by name; for reading alone."""
    from tests.support import tiny_scorers

    made = tmp_path_factory.mktemp("scorers")
    return {
        "qwen2_vl": tiny_scorers.qwen2_vl(made / "qwen2_vl"),
        "many_tokens": tiny_scorers.qwen2_vl(made / "many_tokens", most_pixels=28 * 28 * 60),
        "windowed": tiny_scorers.qwen2_vl(made / "windowed", sliding_window=24),
        "qwen2_5_vl": tiny_scorers.qwen2_vl(made / "qwen2_5_vl", newer=True),
        "llava": tiny_scorers.llava(made / "llava"),
    }


@pytest.fixture(scope="session")
def clip():
    """Four seconds, one frame of noise after another."""
    frames = np.random.default_rng(3).integers(0, 256, (16, 64, 96, 3), dtype=np.uint8)
    return encode(frames, 4)


@pytest.fixture
def params(tmp_path, folders):
    """Return params(name of the model, **changes) of a checklist of 64 questions."""
    path = tmp_path / "VisionReward_video_qa.txt"
    path.write_text("\n".join(WORDS) + "\n")

    def made(name="qwen2_vl", **changes):
        values = {"backend": "checklist", "questions": str(path), "scored_text": "query", "model": str(folders[name])}
        return section_of("reward", **values | changes)

    return made
