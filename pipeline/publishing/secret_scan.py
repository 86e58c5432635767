"""Looks for keys and tokens in files before they leave the machine; says where, never what."""

import base64
import contextlib
import gzip
import os
import re
import zlib
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
    "a JSON Web Token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
}
STARTS = (
    "eyJ",
    "hf_",
    "sk-",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_",
    "AKIA",
    "ASIA",
    "AIza",
    "xox",
    "-----",
)
"""one of them is in each key of SHAPES: to look for fixed words first is a hundred times faster"""
SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|(?<=_)KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)
URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
"""what may be base64; no word of a prompt is so long, and ids have 16 signs"""
MOST_UNPACKED = 64 << 20
"""ours: bytes of a gzip file that are looked at"""
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
    """Return what is secret in the environment: `the value of $NAME` -> value.

    Secret is what has a secret's name, what looks like a key, and the password of a URL.
    """
    secrets = {}
    for name, value in sorted(environment.items()):
        if password := URL_PASSWORD.search(value):
            value = password[1]
        elif not SECRET_NAME.search(name) and not any(shape.search(value) for shape in SHAPES.values()):
            continue
        if len(value) >= SHORTEST:
            secrets[f"the value of ${name}"] = value
    return secrets


def secrets_said(text: str, values: Mapping[str, str]) -> Iterator[str]:
    """Yield what `text` holds: each known shape of a key, and each of `values` by its name; also behind base64."""
    names = dict.fromkeys(_plain(text, values))
    for run in BASE64.findall(text):
        if decoded := _decode(run):
            names |= dict.fromkeys(f"{what} in base64" for what in _plain(decoded, values))
    yield from names


def _plain(text: str, values: Mapping[str, str]) -> Iterator[str]:
    if any(start in text for start in STARTS):
        yield from (what for what, shape in SHAPES.items() if shape.search(text))
    yield from (what for what, value in values.items() if value in text)


def _decode(run: str) -> str:
    """Return what base64 says, "" where it is none or says no text."""
    whole = run.rstrip("=")
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4), altchars=b"-_" if {*"-_"} & {*run} else None).decode()
    except ValueError:  # binascii's errors and those of UTF-8 are
        return ""


def _texts(path: Path) -> Iterator[str]:
    """Yield a file's text; a Parquet file is compressed, so its values are read."""
    if path.suffix != ".parquet":
        if path.read_bytes()[:2] == b"\x1f\x8b":
            with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as packed:
                yield packed.read(MOST_UNPACKED).decode("utf-8", "replace")
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
