import inspect

import pytest
from ruamel.yaml import YAML

from pipeline.publishing.card import Card, card

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
