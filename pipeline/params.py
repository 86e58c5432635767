"""The gate before all work: params.yaml is checked, and the code and the files that stages stand on are told by hash.

A wrong value or an unknown key stops the run first. A stage depends on data/code/<its module>.json, so that a comment
re-runs nothing, and on data/files/<section>.json instead of the folder where a person puts files.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from pipeline.backends.sentences import find_fault, refuse
from pipeline.runtime.fingerprint import code_of, stage_modules
from pipeline.runtime.io import replacing_folder, write_json
from pipeline.runtime.params_file import load_params, option, refuse_same_judge, refuse_unpinned
from pipeline.scoring.questions import read_questions
from schemas.params import Params
from schemas.params_reward import ChecklistParams
from schemas.stage import Declaration

ROOT = Path(__file__).resolve().parents[1]
NAMED = ("questions", "model", "head")
"""the keys of a reward model that may name a file or a folder; a backend's params have those that it reads"""


def named_paths(params: Params) -> dict[str, list[str]]:
    """Return section -> the files and folders that its keys name and no stage of the graph makes."""
    queries = [*params.queries.benchmarks]
    if params.queries.source == "file" and params.queries.path is not None:
        queries.append(params.queries.path)
    if params.queries.semantic is not None:
        queries.append(params.queries.semantic.model)
    models = params.reward.models.values()
    return {
        "queries": queries,
        "d_sft": [path for path in [params.d_sft.path] if path is not None],
        "d_dpo": [path for path in [params.d_dpo.path] if path is not None],
        "reward": [path for model in models for key in NAMED if (path := getattr(model, key, None)) is not None],
    }


def file_hashes(paths: Iterable[str]) -> dict[str, str]:
    """Return path -> SHA-256 of each file, and of each file in a folder; what is not there is left out.

    A stage that reads a missing file says so itself, and the name of a model on the Hub is no path.
    """
    return {str(file): _sha256(file) for path in sorted({*paths}) for file in _files(Path(path))}


def _files(path: Path) -> Iterator[Path]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            yield file


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_folder(folder: str | Path, contents: Mapping[str, Mapping[str, str]]) -> None:
    """Write each mapping to <its name>.json in `folder`."""
    with replacing_folder(Path(folder), owns=("*.json",)) as temporary:
        for name, mapping in contents.items():
            write_json(temporary / f"{name}.json", mapping)


STAGE = Declaration(reads=(), row=None, unit="params file")


@click.command("params")
@click.argument("out")
@click.argument("code")
@click.argument("files")
@option
def main(out: str, code: str, files: str, params_path: str) -> None:
    """Check the whole params file before any work; say by hash which code and which named files stages stand on."""
    params = load_params(params_path)
    refuse_same_judge(params)
    refuse_unpinned(params)
    if params.queries.semantic is not None:  # else it would be found out when all queries are filtered
        refuse(find_fault(params.queries.semantic))
    for model in params.reward.models.values():
        if isinstance(model, ChecklistParams):  # else it would be found out when all clips are rendered
            read_questions(model.questions)
    write_folder(code, {Path(module).stem: code_of(ROOT, module) for module in stage_modules(ROOT)})
    write_folder(files, {section: file_hashes(paths) for section, paths in named_paths(params).items()})
    write_json(out, {"params": "valid"})
