import json
import shutil

import numpy as np
import pytest

from pipeline.backends.reward.yes_no import made_clip
from pipeline.runtime.io import DataError
from pipeline.scoring.questions import read_questions
from tests.support import tiny_scorers
from tests.support.tiny_yes_no import loaded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]


TEXTS = [f"Is the {'very ' * (number % 4)}small thing number {number} in it?" for number in range(10)]


def alone(model, clip, texts):
    import torch

    with torch.inference_mode():
        return model.one_by_one(clip, texts)


@pytest.mark.parametrize("name", ["qwen2_vl", "windowed", "qwen2_5_vl", "llava"])
def test_the_shared_beginning_changes_no_answer(folders, name):
    model, clip = loaded(folders[name]), made_clip()
    shared = model.p_yes(clip, TEXTS)
    assert model.shared
    np.testing.assert_allclose(shared, alone(model, clip, TEXTS), atol=1e-5)
    assert np.ptp(shared) > 0.05


def test_p_yes_is_that_of_the_first_token_that_generate_would_write(folders):
    model, clip = loaded(folders["qwen2_vl"]), made_clip()
    inputs = model.inputs(clip, model.prompt(len(clip), TEXTS[0]))
    out = model.model.generate(
        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    said = {model.tokenizer.decode([token]): value for token, value in enumerate(out.logits[0][0].softmax(-1).tolist())}
    yes, no = (
        sum(said[f"{blank}{word}"] for word in words for blank in ("", " ") if f"{blank}{word}" in said)
        for words in (("yes", "Yes", "YES"), ("no", "No", "NO"))
    )
    assert model.p_yes(clip, TEXTS[:1]) == [pytest.approx(yes / (yes + no), abs=1e-5)]


def test_an_order_of_pictures_is_seen(folders):
    model, clip = loaded(folders["qwen2_vl"]), made_clip()
    assert not np.allclose(model.p_yes(clip, TEXTS), model.p_yes(clip[::-1].copy(), TEXTS), atol=1e-3)


@pytest.mark.slow
def test_64_questions_are_answered_with_an_eighth_of_the_reading(params):
    frames = np.random.default_rng(3).integers(0, 256, (24, 160, 240, 3), dtype=np.uint8)
    model = loaded(params("many_tokens").model, batch_size=32)
    texts = [question.question for question in read_questions(params().questions)]
    read, looked = [], []
    model.model.model.language_model.layers[0].register_forward_hook(lambda layer, x, y: read.append(x[0].shape[:2]))
    model.model.model.visual.register_forward_hook(lambda layer, x, y: looked.append(1))
    shared = model.p_yes(frames, texts)
    together, looks = sum(rows * width for rows, width in read), len(looked)
    read.clear()
    single = alone(model, frames, texts)
    one_by_one = sum(rows * width for rows, width in read)
    assert read[0][1] > 1000 and one_by_one > 8 * together and looks == 1
    assert [p > 0.5 for p in shared] == [p > 0.5 for p in single]
    np.testing.assert_allclose(shared, single, atol=1e-5)


def test_too_many_questions_at_once_are_halved(folders):
    import torch

    model, clip = loaded(folders["qwen2_vl"], batch_size=8), made_clip()
    expected = model.p_yes(clip, TEXTS)

    def small_memory(layer, inputs):
        if inputs[0].shape[0] > 3:
            raise torch.OutOfMemoryError("out of memory")

    model.model.model.language_model.layers[1].register_forward_pre_hook(small_memory)
    np.testing.assert_allclose(model.p_yes(clip, TEXTS), expected, atol=1e-5)
    assert model.size.now == 2


def test_pictures_that_do_not_fit_stop_the_stage(folders):
    import torch

    model, clip = loaded(folders["qwen2_vl"]), made_clip()

    def small_memory(layer, inputs):
        raise torch.OutOfMemoryError("out of memory")

    model.model.model.language_model.layers[1].register_forward_pre_hook(small_memory)
    with pytest.raises(DataError, match="3 pictures, .* tokens, do not fit into memory; lower n_frames"):
        model.p_yes(clip, TEXTS)


@pytest.mark.parametrize("tokens_a_picture", [1, 12])
def test_pictures_behind_the_question_are_asked_one_by_one_and_it_says_so(tokens_a_picture, tmp_path, capsys):
    folder = tiny_scorers.qwen2_vl(tmp_path / "behind", most_pixels=28 * 28 * tokens_a_picture)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace("['content'] %}", "['content'] | reverse %}"))
    model, clip = loaded(folder), made_clip()
    model.check(TEXTS)
    assert "is asked one call a question, which is slow: CannotShare" in capsys.readouterr().err
    assert not model.shared and model.p_yes(clip, TEXTS[:3]) == alone(model, clip, TEXTS[:3])


def test_a_shared_beginning_that_changes_answers_is_given_up(folders, capsys):
    model = loaded(folders["qwen2_vl"])

    def forgets(layer, args, kwargs):
        if args[0].shape[0] > 1:  # only the shared way reads several prompts at once
            return (args[0] * 2, *args[1:]), kwargs

    model.model.model.language_model.layers[1].register_forward_pre_hook(forgets, with_kwargs=True)
    model.check(TEXTS)
    assert not model.shared and "P(yes) differs by" in capsys.readouterr().err


def test_a_sound_model_passes_the_check(folders, capsys):
    for name in ("qwen2_vl", "llava"):
        model = loaded(folders[name])
        model.check(TEXTS)
        assert model.shared
    assert "slow" not in capsys.readouterr().err


def test_more_pictures_than_the_model_reads_stop_the_stage(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "short")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="200 pictures and the text are .* tokens, .* reads 64; lower n_frames"):
        loaded(folder).p_yes(np.zeros((200, 56, 56, 3), np.uint8), TEXTS)


def test_a_tokenizer_without_the_word_says_so(folders, tmp_path):
    folder = shutil.copytree(folders["qwen2_vl"], tmp_path / "wordless")
    text = json.loads((folder / "tokenizer.json").read_text())
    text["model"]["merges"] = [pair for pair in text["model"]["merges"] if "".join(pair).strip("Ġ").lower() != "yes"]
    (folder / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(DataError, match="writes yes in several tokens"):
        loaded(folder)


def test_a_model_without_pictures_is_refused(tiny_model):
    with pytest.raises(DataError, match="has no processor of pictures and text"):
        loaded(tiny_model)
