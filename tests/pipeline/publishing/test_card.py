import inspect

import pytest
from ruamel.yaml import YAML

from pipeline.publishing.card import Card, card
from schemas.base import Provenance

KNOWN_TO_THE_HUB_ALONE = {"configs", "tags", "extra_gated_prompt"}
"""Names that the Hub reads and that huggingface_hub passes on without naming them."""


@pytest.mark.parametrize("safety", [0, 2])
def test_the_head_of_the_card_is_what_the_hubs_own_library_would_write(safety):
    from huggingface_hub import DatasetCardData

    about = Card(
        name="a name: with 'quotes'", license="cc-by-nc-4.0", counts={"dpo": {"train": 3, "test": 1}}, safety=safety,
        withheld=0, sources=["synthetic"], written_by={}, filters={}, base_model=("tiny", ""),
        template=("optimize.jinja", "0" * 16), target="offline", held_out_share=0.1,
    )  # fmt: skip
    head = YAML(typ="safe").load(card(about).split("---\n")[1])
    assert head.keys() - KNOWN_TO_THE_HUB_ALONE <= inspect.signature(DatasetCardData).parameters.keys()
    assert YAML(typ="safe").load(DatasetCardData(**head).to_yaml()) == head


TEACHER = Provenance(backend="openai", model="gpt-4o", revision="1", template="ab")
OFFLINE = Provenance(backend="offline", model="checker", revision="2")
POLICY = Provenance(backend="transformers", model="sft", revision="3")
FILTERS = {"units_in": 9, "units_done": 6, "dropped": {"duplicate": 2, "too long": 1}}


def card_of(**changes):
    values = dict(
        name="n", license="mit", counts={"dpo": {"train": 700, "test": 299}, "sft": {"train": 1}}, safety=3, withheld=2,
        sources=["VidProM.csv", "synthetic"], written_by={"prompts": [TEACHER, OFFLINE], "pairs": [POLICY]},
        filters=FILTERS, base_model=("hub", "meta-llama/Meta-Llama-3-8B"), template=("optimize.jinja", "0f"),
        target="2B", held_out_share=0.1,
    )  # fmt: skip
    return card(Card(**values | changes))


def section(text, name):
    """The cells of the tables of a section, without their heads."""
    lines = text.split(f"## {name}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("config", "what", "source", "filter step")]


def test_the_tables_of_the_card_hold_every_count_writer_source_and_step():
    text = card_of()
    assert [row[:3] for row in section(text, "Configs")] == [
        ["dpo", "train", "700"], ["dpo", "test", "299"], ["sft", "train", "1"],
    ]  # fmt: skip
    writers = section(text, "Who wrote it")
    assert [row[:5] for row in writers] == [
        ["prompts", "openai", "gpt-4o", "1", "ab"],
        ["prompts", "offline", "checker", "2", "-"],
        ["pairs", "transformers", "sft", "3", "-"],
    ]
    assert [row[5].split(":")[0] for row in writers] == [
        "OpenAI's terms of use", "this project's own, Apache-2.0", "Meta Llama 3 Community License",
    ]  # fmt: skip
    assert section(text, "Where the queries are from") == [
        ["VidProM.csv", "CC BY-NC 4.0: non-commercial, name the authors (WenhaoWang/VidProM)"],
        ["synthetic", "this project's own, Apache-2.0"],
        ["read", "9"], ["dropped: duplicate", "2"], ["dropped: too long", "1"], ["kept", "6"],
    ]  # fmt: skip
    assert "held-out share (10%)" in text and "3 rows belong to queries" in text
    assert "; 2 rows were withheld as prohibited." in text and "withheld" not in card_of(withheld=0)
    assert "Licence of this dataset: `mit`" in text and "Target generator of the pairs: `2B`" in text
    assert "from `hub meta-llama/Meta-Llama-3-8B`" in text and "`optimize.jinja` (0f)" in text


def test_what_a_stand_in_wrote_even_in_part_is_said_to_be_written_offline():
    assert "**Written offline.** Prompts: small" in card_of()
    assert "**Written offline.** Prompts, pairs: small" in card_of(base_model=("tiny", ""))
    assert "Written offline" not in card_of(written_by={"prompts": [TEACHER], "pairs": [POLICY]})


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (10**6, "1M<n<10M"),
    ],
)
def test_the_size_of_the_data_is_that_of_all_its_configs(rows, size):
    for counts in ({"dpo": {"train": rows}}, {"dpo": {"train": 1}, "sft": {"train": rows - 1}}):
        assert head_of(card_of(counts=counts))["size_categories"] == [size]


def head_of(text):
    return YAML(typ="safe").load(text.split("---\n")[1])


def test_the_head_of_the_card_names_license_files_and_where_the_queries_are_from():
    head = head_of(card_of())
    assert head["license"] == "mit" and head["pretty_name"] == "n" and head["source_datasets"] == ["extended"]
    assert head_of(card_of(sources=["synthetic"]))["source_datasets"] == ["original"]
    assert head["configs"] == [
        {"config_name": "dpo", "default": True, "data_files": [
            {"split": "train", "path": "dpo/train.parquet"}, {"split": "test", "path": "dpo/test.parquet"}]},
        {"config_name": "sft", "data_files": [{"split": "train", "path": "sft/train.parquet"}]},
    ]  # fmt: skip
    assert "not-for-all-audiences" in head["tags"] and "not-for-all-audiences" not in head_of(card_of(safety=0))["tags"]
