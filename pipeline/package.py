"""x, D_SFT, D_dpo -> the folder that `vpo publish` sends: Parquet in TRL's columns, lineage beside them, and a card.

The papers' authors published lists of messages without lineage (CCCCCC/VPO); columns, splits and card are ours.
"""

import json
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from pipeline.curation.prohibited_content import find_prohibited
from pipeline.llm.template import Template
from pipeline.publishing.card import Card, card
from pipeline.publishing.secret_scan import secrets_in
from pipeline.runtime.io import DataError, read_rows, replacing_folder, write_json
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import metrics_path
from schemas.base import Provenance, Row, content_id
from schemas.critique import Critique
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params import Params
from schemas.queries import Query
from schemas.refine import Refine
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout
from schemas.stage import Declaration

SPLITS = ("sft", "dpo", "test")
Fill = Callable[[str], str]
"""x -> the user's message that the policy reads"""
Record = dict[str, Any]
Records = dict[str, dict[str, list[Record]]]
"""config -> split -> records"""


class Rows(NamedTuple):
    """What the folder is made of."""

    queries: list[Query]
    sft: list[DSft]
    dpo: list[DDpo]


MESSAGES = "list<struct<role, content>>"
CONFIGS = {
    "dpo": {
        "prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES, "pair_id": "string", "query_id": "string",
        "source": "string", "rule": "string", "chosen_origin": "string", "score_chosen": "float64",
        "score_rejected": "float64", "target": "string", "round": "int64", "safety": "bool",
    },
    "sft": {
        "prompt": MESSAGES, "completion": MESSAGES, "query_id": "string", "refined": "bool", "aligned": "bool",
        "safety": "bool",
    },
    "queries": {
        "query_id": "string", "query": "string", "source": "string", "source_id": "string", "split": "string",
        "safety": "bool",
    },
}  # fmt: skip
MADE = ("README.md", *(f"{config}/{split}.parquet" for config in CONFIGS for split in ("train", "test")))
"""every file that the folder can hold"""
WRITERS: dict[str, tuple[str, type[Row], str]] = {
    "prompts of sft": ("sft/d_sft.jsonl", DSft, "written_by"),
    "critiques of sft": ("sft/critique.jsonl", Critique, "critique_by"),
    "refinements of sft": ("sft/refine.jsonl", Refine, "refined_by"),
    "prompts of dpo": ("dpo/rollout.jsonl", Rollout, "written_by"),
    "critiques of dpo": ("dpo/critique.jsonl", Critique, "critique_by"),
    "refinements of dpo": ("dpo/refine.jsonl", Refine, "refined_by"),
    "videos": ("dpo/render.parquet", Render, "rendered_by"),
    "rewards": ("dpo/reward.parquet", Reward, "scored_by"),
}


def package(
    rows: Rows, prohibited: Container[str], fill: Fill, held_out_share: float
) -> Iterator[tuple[str, str, Record]]:
    """Yield (config, split, record) for every row that may be published: those without a prohibited text."""
    for pair in rows.dpo:
        if not is_withheld(pair, prohibited):
            yield "dpo", split_of(pair.query_id, held_out_share), dpo_record(pair, fill)
    for row in rows.sft:
        if not is_withheld(row, prohibited):
            yield "sft", split_of(row.query_id, held_out_share), sft_record(row, fill)
    for query in rows.queries:
        if not is_withheld(query, prohibited):
            record = query.model_dump(include={*CONFIGS["queries"]})
            yield "queries", "test" if query.split == "test" else "train", record


def is_withheld(row: Row, prohibited: Container[str]) -> bool:
    """Return whether a text of the row is prohibited, so that it leaves this machine in no form."""
    return any(text in prohibited for text in texts_of(row))


def texts_of(row: Row) -> Iterator[str]:
    """Yield the texts of a row that people or models wrote."""
    for name in ("query", "prompt", "chosen", "rejected"):
        if text := getattr(row, name, ""):
            yield text


def split_of(query_id: str, held_out_share: float) -> str:
    """Return test for a share of the queries, by hash: a query stays on its side in every version of the data."""
    return "test" if int(content_id("held out", query_id), 16) < held_out_share * 2**64 else "train"


def dpo_record(row: DDpo, fill: Fill) -> Record:
    """Return a pair in TRL's conversational preference columns with its lineage."""
    lineage = row.model_dump(include=CONFIGS["dpo"].keys() - {"prompt", "chosen", "rejected"})
    return lineage | {
        "prompt": [message("user", fill(row.query))],
        "chosen": [message("assistant", row.chosen)],
        "rejected": [message("assistant", row.rejected)],
    }


def sft_record(row: DSft, fill: Fill) -> Record:
    """Return a row of D_SFT in TRL's conversational prompt-completion columns with its lineage.

    `aligned` is the critic's verdict on the first prompt, null for a ready D_SFT that no critic saw.
    """
    return {
        "prompt": [message("user", fill(row.query))],
        "completion": [message("assistant", row.prompt)],
        "query_id": row.query_id,
        "refined": row.refined,
        "aligned": not row.refined if row.arm != "ready" else None,
        "safety": row.safety,
    }


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def read_writers(data: dict[str, Path]) -> dict[str, list[Provenance]]:
    """Return what was written -> the distinct writers (without store keys), as the rows of the lanes say."""
    writers_of = {}
    for what, (name, row, column) in WRITERS.items():
        lane, file = name.split("/")
        named = {
            (by.backend, by.model, by.revision, by.template)
            for by in (getattr(item, column) for item in read_rows(data[lane] / file, row))
        }
        writers = [
            Provenance(backend=backend, model=model, revision=revision, template=template)
            for backend, model, revision, template in named
        ]
        if writers:
            writers_of[what] = sorted(writers, key=lambda by: by.model_dump_json())
    return writers_of


def write_tables(folder: Path, records: Records) -> None:
    """Write <config>/<split>.parquet: zstd, small row groups and a page index, as the Hub's viewer wants it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "string": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_(),
        MESSAGES: pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
    }  # fmt: skip
    for config, splits in records.items():
        schema = pa.schema([(name, types[kind]) for name, kind in CONFIGS[config].items()])
        (folder / config).mkdir()
        for split, rows in splits.items():
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(
                table, folder / config / f"{split}.parquet", compression="zstd", row_group_size=1000,
                write_page_index=True, use_content_defined_chunking=True,
            )  # fmt: skip


def describe(
    params: Params,
    rows: Rows,
    records: Records,
    writers: dict[str, list[Provenance]],
    filters: dict[str, Any],
    template_hash: str,
    withheld: int,
) -> Card:
    """Return what the card says."""
    base = params.base_model.needs.weights
    return Card(
        name=params.package.name,
        license=params.package.license,
        counts={config: {split: len(splits[split]) for split in splits} for config, splits in records.items()},
        safety=sum(record["safety"] for splits in records.values() for split in splits.values() for record in split),
        withheld=withheld,
        sources=sorted({row.source for row in rows.queries}),
        written_by=writers,
        filters=filters,
        base_model=(params.base_model.backend, public_name(base.model if base else None)),
        template=(params.policy.template, template_hash),
        target=params.dpo.target,
        held_out_share=params.package.held_out_share,
    )


def public_name(name: str | None) -> str:
    """Return a base model's name as a card may say it: of a folder its last part, since its path is the machine's."""
    return Path(name).name if name and (Path(name).is_absolute() or Path(name).is_dir()) else name or ""


STAGE = Declaration(
    reads=(Query, DSft, DDpo, Rollout, Critique, Refine, Render, Reward), row=None, unit="row that may be published"
)


def read_data(queries: Path, sft: Path, dpo: Path) -> Rows:
    """Return the rows of the folders of queries, D_SFT and D_dpo."""
    return Rows(
        [row for split in SPLITS for row in read_rows(queries / f"{split}.jsonl", Query)],
        list(read_rows(sft / "d_sft.jsonl", DSft)),
        list(read_rows(dpo / "d_dpo.jsonl", DDpo)),
    )


def make_records(rows: Rows, template: Template, held_out_share: float) -> tuple[Records, int]:
    """Return what is published, by config and split, and how many rows are withheld.

    A split without rows is absent, as the Hub's viewer wants it.
    """
    everything = [*rows.dpo, *rows.sft, *rows.queries]
    prohibited = find_prohibited(text for row in everything for text in texts_of(row))
    records: Records = {config: {"train": [], "test": []} for config in CONFIGS}
    for config, split, record in package(rows, prohibited, lambda query: template.fill(query=query), held_out_share):
        records[config][split].append(record)
    withheld = sum(is_withheld(row, prohibited) for row in everything)
    kept = {config: {split: some for split, some in splits.items() if some} for config, splits in records.items()}
    return kept, withheld


@click.command("package")
@click.argument("queries")
@click.argument("sft")
@click.argument("dpo")
@click.argument("counts")
@click.argument("out")
@option
def main(queries: str, sft: str, dpo: str, counts: str, out: str, params_path: str) -> None:
    """x, D_SFT, D_dpo -> the folder that `vpo publish` sends."""
    params = load_params(params_path)
    rows = read_data(Path(queries), Path(sft), Path(dpo))
    template = Template(params.policy.template, ("query",))
    records, withheld = make_records(rows, template, params.package.held_out_share)
    filters = json.loads(Path(counts).read_text(encoding="utf-8"))
    writers = read_writers({"sft": Path(sft), "dpo": Path(dpo)})
    about = describe(params, rows, records, writers, filters, template.hash, withheld)
    with hold_lock(Path(out)), replacing_folder(Path(out), owns=MADE) as folder:
        write_tables(folder, records)
        (folder / "README.md").write_text(card(about), encoding="utf-8")
        if secrets := list(secrets_in(folder)):
            raise DataError(f"{out}: not written, it would hold secrets: {'; '.join(secrets)}")
    write_json(metrics_path(Path(out)), {"rows": about.counts, "safety": about.safety, "withheld": about.withheld})
