import difflib
import itertools
import json
import re
import shutil

import pytest
from click.testing import CliRunner

from pipeline.runtime.params_file import load_params, refuse_same_judge, refuse_unpinned
from pipeline.runtime.stand_ins import say_if_unreadable
from tests.support.small_project import ROOT
from vpo.graph import read_graph
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


def as_dvc_writes_it(path, *overrides):
    """Write `path` as `dvc exp run -S` does; return the lines that this adds and those that it takes."""
    from dvc.utils.hydra import apply_overrides

    before = path.read_text().splitlines()
    apply_overrides(path, list(overrides))
    changes = difflib.unified_diff(before, path.read_text().splitlines(), n=0, lineterm="")
    return [line for line in changes if re.match(r"[+-](?!\+\+ |-- )", line)]


def comments(path):
    return [re.sub(r"\s+", " ", line.split("#", 1)[1]) for line in path.read_text().splitlines() if "#" in line]


def keys(overlay, above=""):
    for name, value in overlay.items():
        if isinstance(value, dict) and name not in ("lora", "models", "arms", "unchecked"):  # changed as one
            yield from keys(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_another_value_by_dvc_changes_one_line_of_the_params_and_the_old_one_none(project):
    path = project / "params.yaml"
    before = path.read_bytes()
    gap = "reward_gap: 0.5                # S0 9"
    assert as_dvc_writes_it(path, "dpo.reward_gap=0.8") == [f"-  {gap}", f"+  {gap.replace('0.5', '0.8')}"]
    as_dvc_writes_it(path, "dpo.reward_gap=0.5")
    assert path.read_bytes() == before


def lists(tree, above=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from lists(value, f"{above}{name}.")
        elif isinstance(value, list):
            yield f"{above}{name}", value


def test_a_list_that_dvc_empties_and_fills_again_keeps_the_file_and_its_comments(project):
    path = project / "params.yaml"
    before = path.read_bytes()
    listed = dict(lists(round_trip().load(before)))
    assert {"queries.pii", "queries.benchmarks", "evaluate.versus"} <= listed.keys()
    for key, value in listed.items():
        as_dvc_writes_it(path, f"{key}=[]" if value else f"{key}=[a,b]")
        as_dvc_writes_it(path, f"{key}={json.dumps(value)}")
        assert path.read_bytes() == before, key


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_stands_and_is_put_into_the_params_as_dvc_writes_it(project, name):
    assert not as_dvc_writes_it(project / f"recipes/{name}.yaml")
    vpo("use", name)
    assert not as_dvc_writes_it(project / "params.yaml")


def test_a_recipe_of_ones_own_layout_is_put_in_as_dvc_writes_it(project):
    (project / "recipes/mine.yaml").write_text("# mine\nqueries:\n  pii: [email, phone]  # no handles\n")
    vpo("use", "mine")
    assert load_params(project / "params.yaml").queries.pii == ("email", "phone")
    assert not as_dvc_writes_it(project / "params.yaml")


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


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(NAMES, 2)))
def test_a_recipe_after_another_gives_what_it_gives_from_a_fresh_checkout(project, first, second):
    path = project / "params.yaml"
    fresh = path.read_bytes()
    vpo("use", second)
    expected = load_params(path)
    path.write_bytes(fresh)
    for name in (first, second):
        assert vpo("use", name).exit_code == 0
    assert load_params(path) == expected


def test_a_value_that_no_recipe_changes_outlasts_each_of_them(project):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 7"))
    for name in NAMES:
        vpo("use", name)
        assert load_params(path).base.seed == 7


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
    assert (params.teacher.model, params.dpo.target) == ("gpt-4o-2024-08-06", f"CogVideoX-{size.upper()}")
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


def test_laptop_llm_asks_two_models_of_one_machine_and_pins_a_policy_of_words(project):
    vpo("use", "laptop-llm")
    params = load_params(project / "params.yaml")
    refuse_unpinned(params)
    refuse_same_judge(params)
    for section in (params.teacher, params.judge):
        assert section.needs.address.startswith("http://127.0.0.1:") and section.needs.keys == ("LOCAL_API_KEY",)
        assert section.usd_per_million_input_tokens == section.usd_per_million_output_tokens == 0
    assert params.base_model.backend == "hub" and params.sft.lora and params.dpo.train.lora
    assert params.sft.checkpoint_s and params.dpo.train.checkpoint_s
    assert (params.render.backend, params.dpo.video_feedback, params.queries.source) == ("offline", False, "file")
    assert params.queries.semantic is None


def test_the_policies_that_laptop_llm_names_are_pinned():
    text = (ROOT / "recipes/laptop-llm.yaml").read_text()
    named = re.findall(r"^#   (\S+/\S+)  .*  ([0-9a-f]{40})$", text, re.M)
    assert len(dict(named)) == 4
    own = round_trip().load(text)["base_model"]
    assert dict(named)[own["name"]] == own["revision"]


def test_stand_ins_beside_a_real_policy_say_that_they_cannot_read_the_queries(project, capsys):
    vpo("use", "laptop-llm")
    params = load_params(project / "params.yaml")
    say_if_unreadable(params, params.teacher, params.base_model)
    assert capsys.readouterr().err == ""
    say_if_unreadable(params, params.render)
    assert "queries.source: file" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_what_the_text_check_refuses_is_rendered_where_a_recipe_has_an_arm_that_reads_it(project, name):
    shutil.copy(ROOT / "dvc.yaml", project)
    vpo("use", name)
    stages = read_graph(project).stages
    readers = {stage for stage in stages if "data/dpo_unchecked/d_video.jsonl" in stages[stage].deps}
    lane = {stage for stage in stages if "unchecked" in stage}
    if name in ("prompt-a-video", "laptop-llm"):
        assert readers == lane == set() and not any("dpo_arm@" in stage for stage in stages)
    else:
        assert readers == {"d_dpo_arm@dpo_no_text"} and len(lane) == 3


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
    assert "there are laptop, laptop-llm, prompt-a-video, vpo-cogvideox-2b, vpo-cogvideox-5b" in done.stderr


def test_list_gives_each_recipe_a_line_and_show_prints_the_file(project):
    assert [line.split("  ")[0] for line in vpo("list").stdout.splitlines()] == NAMES
    assert vpo("show", "laptop").stdout == (project / "recipes/laptop.yaml").read_text()


def test_merging_replaces_a_list_whole_and_goes_into_sections():
    tree = {"a": {"b": 1, "c": [1, 2]}, "d": 2}
    assert list(merge(tree, {"a": {"c": [3]}, "d": 2})) == [("a.c", [1, 2], [3])]
    assert tree == {"a": {"b": 1, "c": [3]}, "d": 2}
