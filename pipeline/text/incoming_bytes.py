"""The bytes of a file that a person brings: unpacked from gzip, read as UTF-8, or refused with the cause."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import regex

from pipeline.runtime.io import DataError
from pipeline.text.encodings import find_seven_bit, is_windows_1252

SURROGATE = regex.compile(r"\p{Cs}")
SIGNATURES = {
    b"\x1f\x8b": "gzip: name it with .gz at the end",
    b"PK\x03\x04": "a ZIP file, perhaps .xlsx under another name",
    b"PAR1": "Parquet: name it .parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls): save it as CSV in UTF-8",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it with `unzstd`",
    b"BZh": "packed by bzip2: unpack it with `bunzip2`",
    b"\xfd7zXZ": "packed by xz: unpack it with `unxz`",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file with `git lfs pull`",
}
WEB_PAGES = (b"<!doctype html", b"<html")
BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
CONTROLS = frozenset(range(32)) - {*b"\t\n\r\v\f\x1b"}
SAMPLE = 1 << 16
"""Bytes that the guess of an encoding looks at. Ours."""


def make_writable(value: object) -> str:
    """Return `value` as text that can be written: JSON can hold half a character, UTF-8 cannot."""
    return SURROGATE.sub("\ufffd", str(value))


def strip_packing(path: Path) -> Path:
    """Return the path without .gz: prompts.csv.gz -> prompts.csv"""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def read_lines(path: Path) -> Iterator[str]:
    r"""Yield the lines of a UTF-8 file with their ends (\n alone ends one); a BOM at its start goes.

    Raises DataError for a file that cannot be read, with the place of a byte that is not UTF-8 and how to convert it.
    """
    position = 0
    try:
        with _open(path) as file:
            start = file.read(SAMPLE)
            _refuse_signature(path, start)
            file.seek(0)
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as fault:
                    byte = f"0x{line[fault.start]:02x}, line {number}"
                    encoding = "WINDOWS-1252" if is_windows_1252(line) else None
                    raise DataError(_describe_not_utf8(path, position + fault.start, byte, encoding)) from None
                yield text.removeprefix("\ufeff") if number == 1 else text
                position += len(line)
    except (gzip.BadGzipFile, zlib.error, EOFError) as fault:
        raise DataError(f"{path}: not a whole gzip file ({fault}); copy or download it again") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read: {fault.strerror or fault}") from None


def read_text(path: Path) -> str:
    """Return the whole text of a file. Raises DataError as `read_lines` does."""
    return "".join(read_lines(path))


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _refuse_signature(path: Path, start: bytes) -> None:
    for mark, name in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            raise DataError(_describe_not_utf8(path, 0, f"it looks like {name}", name))
    for signature, name in SIGNATURES.items():
        if start.startswith(signature):
            raise DataError(f"{path}: its name says text, but it is {name}")
    if start.lstrip()[:20].lower().startswith(WEB_PAGES):
        raise DataError(f"{path}: its name says text, but it is a web page; download the file itself")
    if encoding := find_seven_bit(start):
        raise DataError(_describe_not_utf8(path, 0, f"it looks like {encoding}", encoding))
    # of scripts other than Latin too: half of the bytes of Burmese are 0x10
    if sum(byte in CONTROLS for byte in start[:400]) > len(start[:400]) // 4:
        raise DataError(_describe_not_utf8(path, 0, "it looks like UTF-16", "UTF-16"))


def _describe_not_utf8(path: Path, position: int, content: str, encoding: str | None) -> str:
    advice = (
        f"`iconv -f {encoding} -t UTF-8 OLD > NEW`"
        if encoding
        else "find out its encoding (GB18030, BIG5, SHIFT_JIS, EUC-KR, WINDOWS-1251, WINDOWS-1254, ...), then "
        "`iconv -f ENCODING -t UTF-8 OLD > NEW`"
    )
    name = " as windows-1252" if encoding == "WINDOWS-1252" else ""
    return f"{path}: byte {position} is not UTF-8 ({content}); convert it{name}: {advice}"
