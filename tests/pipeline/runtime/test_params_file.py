import pytest

from pipeline.runtime.params_file import ParamsError, load_params, refuse_unpinned
from schemas.params import Params
from tests.support.params import with_values


def changed(tmp_path, root, old, new):
    text = (root / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("reward_gap: 0.5", "reward_gap: abc", r"params.yaml:\d+:15: dpo.reward_gap: .*valid number.*'abc'"),
        ("reward_gap: 0.5", "reward_gap: -1", r"dpo.reward_gap: .*greater than or equal to 0"),
        ("reward_gap:", "reward_gpa:", r"params.yaml:\d+:3: dpo.reward_gpa: unknown key; did you mean reward_gap\?"),
        ("  k: 4 ", "  K: 4 ", r"rollout.K: unknown key; did you mean k\?"),
        ("dominance: none", "dominance: nine", r"dpo.dominance: .*'none' or 'question'"),
        ("  source: synthetic", "  source: file", r"params.yaml:\d+:\d+: queries: path must be set for source file"),
        ("backend: offline               # off", "backend: opnai # off", "teacher.backend: .*'offline' or 'openai'"),
        ("base_url:", "base_url: http://x", "teacher: base_url is read by openai, not by offline: set it to null"),
        ("model: checklist", "model: nothing", "reward: model must be one of reward.models: checklist, dims"),
        ("model: grammar", "model: gpt-4o", "teacher: model must be one of grammar, checker for backend offline"),
        ("formula: weighted_yes", "formula: mean_dims", "formula mean_dims reads dimensions, which model checklist"),
        ("questions: pipeline/backends/reward/questions.jsonl", "questions: null",
         "reward.models.checklist: backend offline_checklist needs questions"),
        ("replicate: 0.05", "replicate: 1.5", "reward.replicate: .*less than or equal to 1"),
        ("long_prompts: truncate", "long_prompts: shorten", "render.long_prompts shorten needs teacher.backend"),
        ("n_frames: 12", "n_frames: null", "render: backend offline needs n_frames"),
        ("  usd_per_clip:", "  usd_per_clip: 1", "render: usd_per_clip is read by http, not by offline"),
        ("\n  weights:", "\n  weights: {VQ: 1}", "reward: weights is read by formula z_sum, not by weighted_yes"),
        ("model: checklist", "model: []", "reward: model must name one of reward.models, or several that differ"),
        ("model: checklist", "model: [dims, dims]", "reward: model must name one of reward.models, or several"),
        ("\n  weights:", "\n  weights: {VQ: .nan}", "reward.weights.VQ: .*finite number"),
        ("sample_weights:", "sample_weights: {style: {realistic: .inf}}", "realistic: .*finite number"),
        ("blocked_keywords:\n", "blocked_keywords:\n  - ' '\n", "blocked_keywords.*match pattern"),
        ("base:", "bose:", "bose: unknown key; did you mean base?"),
        ("world:", "world: [", "not YAML"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_column_field_and_what_is_right(tmp_path, root, old, new, says):
    with pytest.raises(ParamsError, match=says) as fault:
        load_params(changed(tmp_path, root, old, new))
    assert fault.value.exit_code == 2
    assert len(fault.value.message.splitlines()) == 1


def test_switching_to_a_real_teacher_takes_three_values(tmp_path, root):
    path = changed(
        tmp_path, root,
        "backend: offline               # offline | openai\n"
        "  model: grammar                 # S0 9: GPT-4o\n"
        "  base_url:",
        "backend: openai\n  model: gpt-4o\n  base_url: http://127.0.0.1:1/v1",
    )  # fmt: skip
    assert load_params(path).teacher.model == "gpt-4o"


def test_noise_must_be_measured_before_a_pair_can_beat_it(tmp_path, root):
    path = changed(tmp_path, root, "min_effect:", "min_effect: 1")
    assert load_params(path).dpo.min_effect == 1
    path.write_text(path.read_text().replace("replicate: 0.05", "replicate: 0"))
    with pytest.raises(ParamsError, match="dpo.min_effect needs reward.replicate above 0"):
        load_params(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "params.yaml")


def test_a_folder_of_weights_that_is_not_there_is_no_model_on_the_hub(laptop):
    def refused(model, revision=None):
        render = with_values(laptop.render, backend="diffusers", model=model, revision=revision)
        with pytest.raises(ParamsError) as fault:
            refuse_unpinned(laptop.model_copy(update={"render": render}))
        return fault.value.message

    assert refused("data/raw/mine") == "render: data/raw/mine: no such folder, and no owner/name of a model on the Hub"
    assert "no such folder" in refused("data/raw/mine", "a" * 40)
    assert "pin it" in refused("owner/name")


def test_the_parser_in_c_reads_what_the_one_that_knows_lines_reads(root, laptop):
    from ruamel.yaml import YAML

    slow = Params.model_validate(YAML().load((root / "params.yaml").read_text(encoding="utf-8")))
    assert slow.model_dump_json() == laptop.model_dump_json()
