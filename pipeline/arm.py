"""What stands behind an arm of the evaluation: the hash of what its prompts hang on, so that no other arm is made anew.

The stages of an arm are a DVC matrix over suites and arms, which knows names alone; this file is what they depend on in
place of the arm's own source.
"""

import hashlib
from pathlib import Path

import click

from pipeline.backends.policy.model_folder import model_revision
from pipeline.runtime.io import DataError, write_json
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.set_aside import MARKER, read_set_aside
from pipeline.runtime.stage_output import dropped_path
from schemas.fewshot import Fewshot
from schemas.params import ArmParams, LlmArmParams, PolicyArmParams, QueryArmParams, StoredArmParams
from schemas.queries import Query
from schemas.stage import Declaration


def arm(description: ArmParams, exemplars: str) -> dict[str, str]:
    """Return kind, source and `revision`: 16 hex digits over what the prompts hang on beside the suite's queries.

    `exemplars` is the file that the template of an LLM may show. Raises DataError for a source that is not there.
    """
    source = Path(description.source)
    match description:
        case PolicyArmParams() if read_set_aside(source) is not None:
            revision = files_hash([source / MARKER])
        case PolicyArmParams():
            revision = model_revision(source)
        case QueryArmParams():
            revision = ""
        case LlmArmParams():
            revision = files_hash([source, Path(exemplars)])
        case StoredArmParams():
            dropped = dropped_path(source)
            revision = files_hash([source, *([dropped] if dropped.exists() else [])])
        case _:
            revision = files_hash([source])
    return {"prompts": description.prompts, "source": description.source, "revision": revision}


def files_hash(paths: list[Path]) -> str:
    """Return 16 hex digits over the bytes of files. Raises DataError for one that cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as fault:
            raise DataError(f"{path}: {fault.strerror}; evaluate.arms names it") from None
    return digest.hexdigest()[:16]


STAGE = Declaration(reads=(Query, Fewshot), row=None, unit="arm")


@click.command("arm")
@click.argument("out")
@click.option("--arm", "name", required=True, help="An arm of evaluate.arms.")
@option
def main(out: str, name: str, params_path: str) -> None:
    """Write what stands behind an arm of the evaluation."""
    params = load_params(params_path)
    if name not in params.evaluate.arms:
        raise click.UsageError(f"evaluate.arms has no {name}; it has {', '.join(params.evaluate.arms)}")
    write_json(out, arm(params.evaluate.arms[name], params.fewshot.exemplars))
