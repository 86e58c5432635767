import re
import shutil

import pytest
from click.testing import CliRunner

from pipeline.runtime.params_file import load_params
from tests.support.small_project import ROOT
from vpo.recipe import main, merge, recipes, round_trip

NAMES = sorted(recipes(ROOT))
PAPERS = [name for name in NAMES if name != "laptop"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def vpo(*arguments):
    return CliRunner().invoke(main, arguments)


def comments(path):
    return [re.sub(r"\s+", " ", line.split("#", 1)[1]) for line in path.read_text().splitlines() if "#" in line]


def keys(overlay, above=""):
    for name, value in overlay.items():
        if isinstance(value, dict) and name not in ("lora", "models"):  # changed as one
            yield from keys(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_makes_valid_params_and_keeps_every_comment(project, name):
    before = comments(project / "params.yaml")
    done = vpo("use", name)
    assert done.exit_code == 0, done.output
    load_params(project / "params.yaml")
    assert comments(project / "params.yaml") == before


@pytest.mark.parametrize("name", PAPERS)
def test_laptop_goes_back_to_where_a_recipe_started(project, name):
    before = load_params(project / "params.yaml")
    vpo("use", name)
    assert load_params(project / "params.yaml") != before
    vpo("use", "laptop")
    assert load_params(project / "params.yaml") == before


def test_laptop_names_exactly_the_keys_that_the_other_recipes_change():
    yaml = round_trip()
    found = {name: set(keys(yaml.load(path.read_text()))) for name, path in recipes(ROOT).items()}
    assert found["laptop"] == set.union(*(found[name] for name in PAPERS))


def test_laptop_changes_nothing_in_a_fresh_checkout_not_even_a_space(project):
    before = (project / "params.yaml").read_bytes()
    assert "0 values changed" in vpo("use", "laptop").stderr
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("size", ["2b", "5b"])
def test_the_papers_figures_are_those_of_the_supplement_and_the_authors_code(project, size):
    vpo("use", f"vpo-cogvideox-{size}")
    params = load_params(project / "params.yaml")
    assert (params.sft.learning_rate, params.sft.num_train_epochs, params.sft.global_batch_size) == (2e-6, 5, 64)
    train = params.dpo.train
    assert (train.learning_rate, train.num_train_epochs, train.global_batch_size, train.beta) == (5e-7, 1, 16, 0.1)
    assert (params.sft.warmup_steps, train.warmup_steps) == (0.1, 0.1)
    assert (params.rollout.k, params.rollout.temperature, params.dpo.reward_gap) == (4, 0.9, 0.5)
    rule = (params.dpo.dominance, params.dpo.video_pairs, params.dpo.pairs_per_query, params.dpo.when_both)
    assert rule == ("question", "first", 1, "text")
    assert (params.teacher.model, params.dpo.target) == ("gpt-4o", f"CogVideoX-{size.upper()}")
    assert (params.render.backend, params.render.model) == ("diffusers", f"zai-org/CogVideoX-{size}")
    assert (params.reward.formula, params.reward.model) == ("weighted_yes", "visionreward")
    assert params.reward.models.keys() == {"visionreward"}
    assert params.dpo.min_effect is None and not params.dpo.safety_veto


def test_prompt_a_video_trains_adapters_with_its_papers_values(project):
    vpo("use", "prompt-a-video")
    params = load_params(project / "params.yaml")
    sft, train = params.sft, params.dpo.train
    assert (params.reward.formula, params.reward.model) == ("filter", ("videoscore", "aesthetic", "mps"))
    assert (params.render.n_frames, params.render.frames_per_second) == (33, None)
    assert (sft.learning_rate, sft.num_train_epochs, sft.global_batch_size) == (1e-4, 14, 16)
    assert (train.learning_rate, train.num_train_epochs, train.global_batch_size, train.beta) == (5e-5, 3, 32, 0.1)
    assert (sft.lora.r, sft.lora.lora_alpha, sft.lora.target_modules) == (16, 32, ("q_proj", "v_proj"))
    assert (train.lora.r, train.lora.lora_alpha, len(train.lora.target_modules)) == (16, 16, 7)
    assert (params.rollout.k, params.rollout.temperature) == (5, 1.0)


def test_use_says_what_it_changes(project):
    done = vpo("use", "vpo-cogvideox-2b")
    assert "rollout.max_new_tokens: 120 -> 2048" in done.stdout
    assert "queries.path: null -> data/raw/VidProM_unique.csv" in done.stdout


def test_a_recipe_that_would_make_wrong_params_changes_nothing(project):
    (project / "recipes/broken.yaml").write_text("# broken\nrollout:\n  k: 0\n")
    before = (project / "params.yaml").read_bytes()
    done = vpo("use", "broken")
    assert done.exit_code == 2 and "rollout.k" in done.stderr
    assert (project / "params.yaml").read_bytes() == before


def test_an_unknown_recipe_is_answered_with_those_there_are(project):
    done = vpo("use", "../params")
    assert done.exit_code == 1
    assert "there are laptop, prompt-a-video, vpo-cogvideox-2b, vpo-cogvideox-5b" in done.stderr


def test_list_gives_each_recipe_a_line_and_show_prints_the_file(project):
    assert [line.split("  ")[0] for line in vpo("list").stdout.splitlines()] == NAMES
    assert vpo("show", "laptop").stdout == (project / "recipes/laptop.yaml").read_text()


def test_merging_replaces_a_list_whole_and_goes_into_sections():
    tree = {"a": {"b": 1, "c": [1, 2]}, "d": 2}
    assert list(merge(tree, {"a": {"c": [3]}, "d": 2})) == [("a.c", [1, 2], [3])]
    assert tree == {"a": {"b": 1, "c": [3]}, "d": 2}
