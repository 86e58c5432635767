"""The dataset card: README.md with YAML in front, in the words the Hub reads."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from pipeline.publishing.terms import terms
from schemas.backends import is_of_base_model, is_stand_in
from schemas.base import Provenance

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
DESCRIPTIONS = {
    "dpo": "preference pairs (TRL: prompt, chosen, rejected), from text feedback and from rewards of rendered videos",
    "sft": "queries with the prompt to learn (TRL: prompt, completion)",
    "queries": "cleaned user queries; split test is the evaluation's",
}


@dataclass(frozen=True)
class Card:
    """What the card says."""

    name: str
    license: str
    counts: dict[str, dict[str, int]]
    """config -> split -> rows"""
    safety: int
    """rows whose query asks for something harmful"""
    withheld: int
    sources: list[str]
    written_by: dict[str, list[Provenance]]
    """what was written -> by whom"""
    filters: dict
    """metrics of stage queries"""
    base_model: tuple[str, str]
    """backend and name of what the policy was trained from"""
    template: tuple[str, str]
    """file and hash of the words around the query in column prompt"""
    target: str
    held_out_share: float


def card(about: Card) -> str:
    """Return README.md; equal facts give equal bytes."""
    return f"---\n{_yaml(_head(about))}---\n\n{_body(about)}"


def written_offline(about: Card) -> list[str]:
    """Return what small stand-ins of the offline world wrote."""
    return [
        what for what, writers in about.written_by.items() if any(is_stand_in(_descent(about, by)[0]) for by in writers)
    ]


def _descent(about: Card, by: Provenance) -> tuple[str, str]:
    """Return whose terms hold: a policy's are those of the model it was trained from."""
    return about.base_model if is_of_base_model(by.backend) else (by.backend, by.model)


def _head(about: Card) -> dict[str, Any]:
    rows = sum(n for splits in about.counts.values() for n in splits.values())
    head: dict[str, Any] = {
        "pretty_name": about.name,
        "license": about.license,
        "language": ["en"],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original" if about.sources == ["synthetic"] else "extended"],
        "size_categories": [next((size for limit, size in SIZES if rows < limit), "1M<n<10M")],
        "task_categories": ["text-generation", "text-to-video"],
        "tags": ["synthetic", "rlaif", "preference", "dpo", "trl"],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if config == "dpo" else {}),
                "data_files": [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits],
            }
            for config, splits in about.counts.items()
        ],
    }
    if about.safety:
        head["tags"].append("not-for-all-audiences")
        head["extra_gated_prompt"] = (
            "Some queries ask for harmful content. They are here to teach and to test that prompts come out harmless; "
            "use them for that alone."
        )
    return head


def _body(about: Card) -> str:
    lines = [
        f"# {about.name}",
        "",
        "From user queries to better prompts for a text-to-video model: data for supervised fine-tuning and for direct "
        "preference optimization after [VPO](https://arxiv.org/abs/2503.20491). "
        f"Target generator of the pairs: `{about.target}`.",
        "",
    ]
    if offline := written_offline(about):
        lines += [
            f"**Written offline.** {', '.join(offline).capitalize()}: small deterministic stand-ins wrote these, no "
            "language or video model did. The data shows the shape of the pipeline's outputs; do not train a model for "
            "use on it.",
            "",
        ]
    lines += [
        "## Configs",
        "",
        *_table(
            ["config", "split", "rows", "what"],
            [
                (config, split, n, DESCRIPTIONS.get(config, ""))
                for config, splits in about.counts.items()
                for split, n in splits.items()
            ],
        ),
        "",
        f"Split `test` of `dpo` and `sft` is a held-out share ({about.held_out_share:.0%}) of their queries, cut by "
        "the hash of the query. "
        f"{about.safety} rows belong to queries that ask for something harmful (`safety`)"
        + (f"; {about.withheld} rows were withheld as prohibited." if about.withheld else "."),
        "",
        "```python",
        "from datasets import load_dataset",
        'pairs = load_dataset("<this repository>", "dpo", split="train")  # ready for trl.DPOTrainer',
        "```",
        "",
        "## Who wrote it",
        "",
        *_table(
            ["what", "backend", "model", "revision", "template", "terms"],
            [
                (what, by.backend, by.model, by.revision, by.template or "-", terms(*_descent(about, by)))
                for what, writers in about.written_by.items()
                for by in writers
            ],
        ),
        "",
        "A revision of an offline backend is the hash of its source, a template the SHA-256 (16 hex) of its words. "
        f"A policy (backend `transformers`) was trained from `{' '.join(about.base_model).strip()}`. "
        f"Column `prompt` is the query filled in `{about.template[0]}` ({about.template[1]}).",
        "",
        "## Where the queries are from",
        "",
        *_table(["source", "terms"], [(source, terms("", source)) for source in about.sources]),
        "",
        *_table(["filter step", "queries"], _steps(about.filters)),
        "",
        "## Terms",
        "",
        f"Licence of this dataset: `{about.license}`. The terms of the source, of the models that wrote the texts, of "
        "the generator and of the reward model, each in the tables above, hold beside it.",
        "",
        "## Limits",
        "",
        "Texts are machine-written and not checked by people. Preferences of video pairs are those of one reward model "
        "on one generator. Safety rests on the judge named above.",
    ]
    return "\n".join(lines) + "\n"


def _steps(filters: dict) -> list[tuple[str, int]]:
    read = [("read", filters["units_in"])] if "units_in" in filters else []
    kept = [("kept", filters["units_done"])] if "units_done" in filters else []
    return [*read, *((f"dropped: {reason}", n) for reason, n in filters.get("dropped", {}).items()), *kept]


def _table(head: Iterable[str], rows: Iterable[tuple[object, ...]]) -> list[str]:
    head = list(head)
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in cells)]


def _yaml(value: object) -> str:
    yaml: Any = YAML(typ="safe")  # the library types its switches by their first value, None
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = False, 1000, False
    text = io.StringIO()
    yaml.dump(value, text)
    return text.getvalue()
