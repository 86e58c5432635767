"""Looks for keys and tokens in files before they leave the machine; says where, never what."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SHAPES = {
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "an OpenAI key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a Google key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
STARTS = ("hf_", "sk-", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_", "AKIA", "ASIA", "AIza", "xox", "-----")
"""one of them is in each key of SHAPES: to look for fixed words first is a hundred times faster"""
SECRET_NAME = re.compile(r"(?:_KEY|_TOKEN|_SECRET|_PASSWORD)$")
SHORTEST = 8  # "EMPTY", "none" and the like are no secrets, and would be found everywhere


def secrets_in(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield `<file>: <what>` for each kind of secret in the files under `folder`.

    Known shapes of keys, and the values of the environment's own *_KEY, *_TOKEN, ... variables.
    """
    values = values_of(environment)
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        text = "\n".join(_texts(path))
        name = path.relative_to(folder).as_posix()
        yield from (f"{name}: {what}" for what in secrets_said(text, values))


def values_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is secret in the environment: `the value of $NAME` -> value."""
    return {
        f"the value of ${name}": value
        for name, value in sorted(environment.items())
        if SECRET_NAME.search(name) and len(value) >= SHORTEST
    }


def secrets_said(text: str, values: Mapping[str, str]) -> Iterator[str]:
    """Yield what `text` holds: each known shape of a key, and each of `values` by its name."""
    if any(start in text for start in STARTS):
        yield from (what for what, shape in SHAPES.items() if shape.search(text))
    yield from (what for what, value in values.items() if value in text)


def _texts(path: Path) -> Iterator[str]:
    """Yield a file's text; a Parquet file is compressed, so its values are read."""
    if path.suffix != ".parquet":
        yield path.read_bytes().decode("utf-8", "replace")
        return
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    yield str(file.schema_arrow)
    for batch in file.iter_batches(batch_size=1024):
        yield from _leaves(batch.to_pylist())


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
