import json
import shutil

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.llm.template import Template
from pipeline.package import (
    MADE,
    Rows,
    describe,
    dpo_record,
    main,
    make_records,
    public_name,
    read_writers,
    sft_record,
    split_of,
    write_tables,
)
from pipeline.publishing.card import Card
from pipeline.publishing.secret_scan import secrets_in
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params
from schemas.base import Provenance, content_id
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.rollout import Rollout
from tests.support.small_project import ROOT, pair, prompt, put, queries, small_project, write_params
from train.trl_rows import to_dpo_rows, to_sft_rows

FAKE_TOKEN = "hf_" + "fake" * 9


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(made, tmp_path):
    return shutil.copytree(made, tmp_path / "project")


def run(project, **environment):
    inputs = ["data/queries", "data/sft", "data/dpo", "results/queries.json", "data/package"]
    arguments = [*(str(project / name) for name in inputs), "--params", str(project / "params.yaml")]
    return CliRunner(env=environment).invoke(main, arguments)


def table(project, config, *splits):
    folder = project / "data/package" / config
    paths = [folder / f"{split}.parquet" for split in splits]
    return [row for path in paths if path.exists() for row in pq.read_table(path).to_pylist()]


def test_a_second_run_replaces_its_tables_and_no_file_of_a_person(project):
    out = project / "data/package"
    assert run(project).exit_code == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names <= {*MADE}
    (out / "dpo/notes.txt").write_text("mine")
    (out / "README.md").write_text("old")
    assert run(project).exit_code == 0
    assert (out / "dpo/notes.txt").read_text() == "mine" and (out / "README.md").read_text() != "old"


def test_a_pair_becomes_three_message_lists_with_its_lineage():
    row = DDpo(**pair(queries("dpo")[0], "text"))
    record = dpo_record(row, lambda query: f"Improve: {query}")
    assert record["prompt"] == [{"role": "user", "content": "Improve: a train at night"}]
    assert record["chosen"] == [{"role": "assistant", "content": "a train at night, calm."}]
    assert record["rejected"] == [{"role": "assistant", "content": "a train at night take 0."}]
    assert (record["pair_id"], record["query_id"], record["source"]) == (row.pair_id, row.query_id, "text")
    assert "query" not in record


def sft_row(arm="fewshot", refined=False):
    return DSft(**prompt(queries("sft")[0], arm, " in fog"), refined=refined, violated=())


def test_a_refined_row_was_not_aligned_and_a_ready_one_was_never_judged():
    assert [sft_record(sft_row(refined=refined), str)["aligned"] for refined in (False, True)] == [True, False]
    assert sft_record(sft_row("ready"), str)["aligned"] is None


def test_a_held_out_query_stays_held_out_and_a_larger_share_holds_more():
    ids = [content_id(number) for number in range(2000)]
    held = {name for name in ids if split_of(name, 0.02) == "test"}
    assert 20 <= len(held) <= 60
    assert held <= {name for name in ids if split_of(name, 0.1) == "test"}
    assert {split_of(name, 0) for name in ids} == {"train"}


def test_a_prohibited_text_is_withheld_in_every_column():
    child = "a naked child"
    query = queries("test")[0].model_copy(update={"query": child})
    rejected = DDpo(**pair(queries("dpo")[0], "text")).model_copy(update={"rejected": child})
    written = sft_row().model_copy(update={"prompt": child})
    rows = Rows([query, queries("test")[4]], [written], [rejected])
    records, withheld = make_records(rows, Template(ROOT / "pipeline/templates/optimize.jinja"), 0)
    assert withheld == 3
    assert records == {"dpo": {}, "sft": {}, "queries": {"test": [records["queries"]["test"][0]]}}
    assert records["queries"]["test"][0]["query"] == queries("test")[4].query


def test_the_package_holds_every_row_once_in_columns_that_say_where_it_is_from(project, vpo_home):
    assert run(project).exit_code == 0
    pairs = table(project, "dpo", "train", "test")
    assert sorted(row["pair_id"] for row in pairs) == sorted(
        row.pair_id for row in read_rows(project / "data/dpo/d_dpo.jsonl", DDpo)
    )
    assert len(table(project, "sft", "train", "test")) == 4
    assert {row["split"] for row in table(project, "queries", "train")} == {"sft", "dpo"}
    assert {row["split"] for row in table(project, "queries", "test")} == {"test"}
    counts = json.loads((project / "results/package.json").read_text())
    assert sum(counts["rows"]["dpo"].values()) == 8
    assert counts["withheld"] == 0


def test_no_query_is_on_both_sides_of_the_cut(project, vpo_home):
    run(project)
    train, test = ({row["query_id"] for row in table(project, "dpo", split)} for split in ("train", "test"))
    assert train and test and not train & test


def test_the_prompt_column_is_the_query_in_the_words_the_policy_reads(project, vpo_home):
    run(project)
    row = table(project, "sft", "train", "test")[0]
    template = Template(ROOT / "pipeline/templates/optimize.jinja")
    wanted = {template.fill(query=query.query) for query in queries("sft")}
    assert row["prompt"][0]["content"] in wanted


def test_the_published_columns_are_those_the_policy_was_trained_on():
    template = Template(ROOT / "pipeline/templates/optimize.jinja")
    row, two = sft_row(), DDpo(**pair(queries("dpo")[0], "video"))
    sft = sft_record(row, lambda query: template.fill(query=query))
    dpo = dpo_record(two, lambda query: template.fill(query=query))
    assert to_sft_rows([row], template) == [{name: sft[name] for name in ("prompt", "completion")}]
    assert to_dpo_rows([two], template) == [{name: dpo[name] for name in ("prompt", "chosen", "rejected")}]


def test_raw_texts_are_never_public_name(project, vpo_home):
    run(project)
    assert "A RED FOX IN SNOW" not in str(table(project, "queries", "train"))


def test_equal_rows_give_equal_bytes(project, vpo_home):
    def outputs():
        run(project)
        return {path: path.read_bytes() for path in (project / "data/package").rglob("*") if path.is_file()}

    assert outputs() == outputs()


def head(project):
    text = (project / "data/package/README.md").read_text()
    return YAML(typ="safe").load(text.split("---\n")[1]), text


def test_the_card_names_each_config_with_its_splits_and_one_default(project, vpo_home):
    run(project)
    front, _ = head(project)
    assert [config["config_name"] for config in front["configs"]] == ["dpo", "sft", "queries"]
    assert [config.get("default") for config in front["configs"]] == [True, None, None]
    for config in front["configs"]:
        for item in config["data_files"]:
            assert (project / "data/package" / item["path"]).is_file()


def test_the_card_says_who_wrote_it_under_which_terms_and_what_was_filtered(project, vpo_home):
    run(project)
    front, text = head(project)
    assert front["license"] == "cc-by-nc-4.0"
    assert "**Written offline.**" in text
    assert "| videos | offline | sprites | 2222222222222222 |" in text
    assert "| dropped: duplicate | 1 |" in text
    assert "not-for-all-audiences" in front["tags"] and "extra_gated_prompt" in front


def test_a_card_without_offline_writers_does_not_say_offline(project, vpo_home):
    teacher = Provenance(backend="openai", model="gpt-4o", revision="2024-08-06", template="ab" * 8)
    policy = Provenance(backend="transformers", model="sft", revision="cd" * 8)
    writers = {"prompts of sft": [teacher], "prompts of dpo": [policy]}
    from pipeline.publishing.card import Card, card

    base = ("hub", "meta-llama/Meta-Llama-3-8B-Instruct")
    about = Card("n", "mit", {"sft": {"train": 1}}, 0, 0, ["VidProM.csv"], writers, {}, base, ("t", "0"), "2B", 0.02)
    text = card(about)
    assert "offline" not in text.lower().replace("of an offline backend", "")
    assert "OpenAI's terms of use" in text and "CC BY-NC 4.0" in text
    assert "| transformers | sft | cdcdcdcdcdcdcdcd | - | Meta Llama 3 Community License" in text
    assert "not-for-all-audiences" not in text


def test_a_split_without_rows_has_no_file(project, vpo_home):
    write_params(project, package={"held_out_share": 0})
    run(project)
    assert not (project / "data/package/sft/test.parquet").exists()
    assert [item["split"] for item in head(project)[0]["configs"][1]["data_files"]] == ["train"]


def test_a_key_in_a_text_stops_the_stage_and_leaves_no_folder(project, vpo_home):
    row = DSft(**prompt(queries("sft")[0], "fewshot", f" holds {FAKE_TOKEN}"), refined=False, violated=())
    put(project / "data/sft/d_sft.jsonl", [row], DSft)
    done = run(project)
    assert done.exit_code == 1
    assert "a Hugging Face token" in done.stderr and FAKE_TOKEN not in done.stderr
    assert sorted(path.name for path in (project / "data").iterdir()) == [
        "dpo",
        "eval",
        "evaluate.jsonl",
        "queries",
        "sft",
    ]


def test_the_value_of_a_key_in_the_environment_stops_the_stage(project, vpo_home):
    row = DSft(**prompt(queries("sft")[0], "fewshot", " says hunter2hunter2"), refined=False, violated=())
    put(project / "data/sft/d_sft.jsonl", [row], DSft)
    done = run(project, SOME_API_KEY="hunter2hunter2")
    assert done.exit_code == 1
    assert "$SOME_API_KEY" in done.stderr and "hunter2hunter2" not in done.stderr


def test_a_failed_stage_leaves_the_package_before_it_as_it_was(project, vpo_home):
    run(project)
    before = head(project)[1]
    put(project / "data/dpo/rollout.jsonl", [], Rollout)
    (project / "data/dpo/critique.jsonl").write_text("{}\n")
    assert run(project).exit_code == 1
    assert head(project)[1] == before


@pytest.mark.parametrize(
    "secret",
    ["sk-" + "a1" * 12, "ghp_" + "a" * 36, "AKIA" + "A" * 16, "-----BEGIN RSA PRIVATE KEY-----", "xoxb-1234567890ab"],
)
def test_the_scan_knows_the_shapes_of_keys(tmp_path, secret):
    (tmp_path / "README.md").write_text(f"key: {secret}\n")
    assert len(list(secrets_in(tmp_path, {}))) == 1


def test_the_scan_reads_compressed_tables_and_nested_texts(tmp_path):
    write_tables(
        tmp_path, {"sft": {"train": [sft_record(sft_row(), lambda query: "calm sea " * 500 + FAKE_TOKEN)] * 9}}
    )
    assert FAKE_TOKEN.encode() not in (tmp_path / "sft/train.parquet").read_bytes()
    assert list(secrets_in(tmp_path, {})) == ["sft/train.parquet: a Hugging Face token"]


def test_the_scan_lets_ordinary_words_and_short_values_pass(tmp_path):
    (tmp_path / "README.md").write_text("a task-oriented sk-ate park, EMPTY, disk-space\n")
    assert list(secrets_in(tmp_path, {"OPENAI_API_KEY": "EMPTY"})) == []


@pytest.mark.slow
def test_trl_reads_the_columns_as_they_are(project, vpo_home):
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    run(project)

    class Tokenizer:
        """A chat template of one line."""

        def apply_chat_template(self, messages, tokenize=False, **options):
            text = "".join(f"<{message['role']}>{message['content']}" for message in messages)
            return text + ("<assistant>" if options.get("add_generation_prompt") else "")

    for config, answers in (("dpo", ("chosen", "rejected")), ("sft", ("completion",))):
        for row in table(project, config, "train", "test"):
            assert is_conversational(row)
            flat = maybe_apply_chat_template(row, Tokenizer())
            assert flat["prompt"].startswith("<user>Rewrite the query")
            for name in answers:
                assert flat[name] == row[name][0]["content"]


def test_a_base_model_in_a_folder_is_named_without_the_machine_s_path(tmp_path):
    assert public_name(str(tmp_path / "my-model")) == "my-model"
    assert public_name("meta-llama/Meta-Llama-3-8B-Instruct") == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert public_name(None) == ""


def test_each_writer_is_named_once_in_one_order_and_without_its_keys(project):
    path = project / "data/dpo/rollout.jsonl"
    rows = list(read_rows(path, Rollout))[:3]
    changes = [{"model": name, "store_key": key} for name, key in (("b", "1"), ("a", "2"), ("b", "3"))]
    by = [row.written_by.model_copy(update=change) for row, change in zip(rows, changes, strict=True)]
    put(path, [row.model_copy(update={"written_by": one}) for row, one in zip(rows, by, strict=True)], Rollout)
    writers = read_writers({"sft": project / "data/sft", "dpo": project / "data/dpo"})
    assert [(one.model, one.store_key) for one in writers["prompts of dpo"]] == [("a", None), ("b", None)]


def test_the_card_is_described_by_the_rows_their_writers_and_the_params(project):
    params = load_params(project / "params.yaml")
    both = [queries("test")[0], queries("test")[4].model_copy(update={"source": "VidProM.csv"}), queries("sft")[0]]
    records = {"dpo": {"train": [{"safety": True}, {"safety": False}], "test": [{"safety": True}]}, "sft": {}}
    about = describe(params, Rows(both, [], []), records, {"prompts": []}, {"units_in": 3}, "0f", 4)
    assert about == Card(
        name=params.package.name, license=params.package.license, counts={"dpo": {"train": 2, "test": 1}, "sft": {}},
        safety=2, withheld=4, sources=["VidProM.csv", "synthetic"], written_by={"prompts": []}, filters={"units_in": 3},
        base_model=("tiny", ""), template=(params.policy.template, "0f"), target=params.dpo.target,
        held_out_share=params.package.held_out_share,
    )  # fmt: skip
