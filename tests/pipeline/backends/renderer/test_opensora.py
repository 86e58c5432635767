import sys

import pytest

from pipeline.backends.renderer.command import Command
from pipeline.runtime.store import home
from schemas.seams import RenderRequest
from tests.support.clip_program import params
from tests.support.clip_server import clip_of

pytestmark = pytest.mark.slow


OPEN_SORA = {
    "torch.py": "seeds = []\nmanual_seed = seeds.append\n",
    "opensora/utils/inference_utils.py": "def get_save_path_name(*_, **__): raise SystemExit('not replaced')\n",
    "scripts/inference.py": """
import argparse, torch
from opensora.utils.inference_utils import get_save_path_name
from tests.support.clip_server import clip_of
parser = argparse.ArgumentParser()
parser.add_argument("config")
for name in ("--prompt-path", "--save-dir", "--batch-size", "--llm-refine", "--num-frames", "--fps", "--flow"):
    parser.add_argument(name)
parser.add_argument("--image-size", nargs=2)
words = parser.parse_args()
assert (words.config, words.batch_size, words.llm_refine) == ("configs/opensora-v1-2/inference/sample.py", "1", "False")
assert (words.image_size, words.fps, words.flow) == (["32", "48"], "8", "5"), words
import os
from tests.support.params import with_values
os.makedirs(words.save_dir)
for at, prompt in enumerate(open(words.prompt_path).read().splitlines()):
    path = get_save_path_name(words.save_dir, sample_name=None, sample_idx=0 + at, prompt=prompt, num_sample=1, k=0)
    open(path + ".mp4", "wb").write(clip_of(f"{prompt} {torch.seeds[-1]}", n=int(words.num_frames)))
""",
}


def test_open_sora_is_given_prompts_settings_and_a_seed_for_each_clip(laptop, program, root, tmp_path):
    for name, text in OPEN_SORA.items():
        (tmp_path / "sora" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sora" / name).write_text(text)
    script = root / "pipeline/backends/renderer/opensora.py"
    words = [sys.executable, str(script), str(tmp_path / "sora"), "{manifest}", "{clips}", "--flow", "5"]
    requests = [RenderRequest("a dog\n{in} a house", 7), RenderRequest("|0| a cat", 8)]
    one, two = Command(params(laptop, words)).map(requests)
    assert (one.value, two.value) and one.value.content == clip_of("a dog (in) a house 7")
    assert two.value.content == clip_of("0| a cat 8")
    assert not list(home().glob("command/*/.opensora-*"))
