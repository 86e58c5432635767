"""Every artifact as a DuckDB view: its name, files, row class, and the lane or arm that its folder names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.arrow import arrow_schema
from pipeline.runtime.io import beside
from schemas import ROWS
from schemas.base import Dropped, Row
from schemas.queries import QueryDropped

SPLITS = ("sft", "dpo", "test")
FILES = {
    "fewshot_sft": "data/sft/fewshot.jsonl",
    "fewshot_eval": "data/eval/fewshot.jsonl",
    "critique_sft": "data/sft/critique.jsonl",
    "critique_dpo": "data/dpo/critique.jsonl",
    "critique_eval": "data/eval/**/critique.jsonl",
    "refine_sft": "data/sft/refine.jsonl",
    "refine_dpo": "data/dpo/refine.jsonl",
    "d_sft": "data/sft/d_sft.jsonl",
    "rollout_dpo": "data/dpo/rollout.jsonl",
    "rollout_eval": "data/eval/**/rollout.jsonl",
    "d_text": "data/dpo/d_text.jsonl",
    "render_dpo": "data/dpo/render.parquet",
    "render_eval": "data/eval/**/render.parquet",
    "reward_dpo": "data/dpo/reward.parquet",
    "reward_eval": "data/eval/**/reward.parquet",
    "d_video": "data/dpo/d_video.jsonl",
    "d_dpo": "data/dpo/d_dpo.jsonl",
    "d_dpo_arm": "data/dpo/arms/*/d_dpo.jsonl",
    "evaluate": "data/evaluate.jsonl",
}
LANES = ("sft", "dpo", "eval")


@dataclass(frozen=True)
class View:
    """Files of one row class under one name; with `arm`, the folder of a file names the arm in a column of its own."""

    name: str
    row: type[Row]
    files: tuple[Path, ...]
    arm: bool = False

    def sql(self) -> str:
        """Return the query behind the view; types are the row class's, also where there is no file or row."""
        types = columns(self.row)
        arm = {"arm": "VARCHAR"} if self.arm else {}
        if not self.files:
            nulls = ", ".join(f"null::{kind} as {_name(name)}" for name, kind in (types | arm).items())
            return f"select {nulls} where false"
        return " union all by name ".join(self._of(path, types) for path in self.files)

    def _of(self, path: Path, types: dict[str, str]) -> str:
        if path.suffix == ".parquet":
            source = f"read_parquet({_text(path)})"
        else:
            listed = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in types.items())
            source = f"read_json({_text(path)}, format = 'newline_delimited', columns = {{{listed}}})"
        chosen = [f"{_name(name)}::{kind} as {_name(name)}" for name, kind in types.items()]
        arm = [f"{_text(path.parent.name)} as arm"] if self.arm else []
        return f"select {', '.join([*chosen, *arm])} from {source}"


def views(root: Path) -> Iterator[View]:
    """Yield the view of every artifact and of what it dropped; the files need not exist."""
    queries = [root / "data/queries" / f"{split}.jsonl" for split in SPLITS]
    yield View("queries", ROWS["queries"], present(queries))
    yield View("queries_dropped", QueryDropped, present([root / "data/queries/queries_dropped.parquet"]))
    for name, pattern in FILES.items():
        row = ROWS[name if name in ROWS else stage_of(name)]
        paths = sorted(root.glob(pattern))
        in_arms = "*" in pattern
        yield View(name, row, present(paths), arm=in_arms and "arm" not in row.model_fields)
        dropped = sorted(root.glob(str(beside(Path(pattern))[0])))
        yield View(f"{name}_dropped", Dropped, present(dropped), arm=in_arms)


def unions(named: dict[str, View]) -> dict[str, str]:
    """Return the query of each bare stage name over its lanes, with a column `lane`; likewise for what it dropped."""
    found: dict[str, list[str]] = {}
    for name in named:
        stage, _, rest = name.partition("_")
        lane, _, dropped = rest.partition("_")
        if stage in ROWS and lane in LANES:
            union = f"{stage}_dropped" if dropped else stage
            found.setdefault(union, []).append(f"select {_text(lane)} as lane, * from {_name(name)}")
    return {name: " union all by name ".join(parts) for name, parts in found.items()}


def stage_of(view: str) -> str:
    """Return the stage that wrote a view: critique_eval -> critique, d_dpo_arm -> d_dpo."""
    return view.rpartition("_")[0]


def present(paths) -> tuple[Path, ...]:
    """Return the files that exist and hold something: an empty JSONL file is a table without rows."""
    return tuple(path for path in paths if path.is_file() and path.stat().st_size)


def columns(row: type[Row]) -> dict[str, str]:
    """Return column -> DuckDB type of a row class."""
    return {field.name: _duckdb(field.type) for field in arrow_schema(row)}


def _duckdb(kind) -> str:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return f"{_duckdb(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{_name(field.name)} {_duckdb(field.type)}' for field in kind)})"
    return {"string": "VARCHAR", "bool": "BOOLEAN", "int64": "BIGINT", "double": "DOUBLE"}[str(kind)]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value) -> str:
    return "'" + str(value).replace("'", "''") + "'"
