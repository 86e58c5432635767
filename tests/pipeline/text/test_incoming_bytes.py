import gzip
import subprocess

import pytest

from pipeline.runtime.io import DataError
from pipeline.text.incoming_bytes import make_writable, read_lines, read_text, strip_packing

CURLY = "prompt\r\na dog on the “grass” field\r\na café in the rain\r\n"


def test_a_windows_file_is_named_and_converting_as_told_keeps_its_quotes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(CURLY.encode("cp1252"))
    with pytest.raises(DataError, match="windows-1252") as refused:
        read_text(path)
    command = str(refused.value).split("`")[1]
    assert command == "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
    converted = subprocess.run([*command.split()[:5], path], check=True, capture_output=True).stdout
    assert converted.decode() == CURLY


@pytest.mark.parametrize(
    ("text", "encoding"), [("黄昏时分一只狗", "gb18030"), ("夕暮れの犬", "shift_jis"), ("собака бежит", "cp1251")]
)
def test_bytes_that_are_no_western_text_are_not_called_so(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match="find out its encoding") as refused:
        read_text(tmp_path / "a.txt")
    assert "WINDOWS-1252" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a dog\n".encode("utf-16"), "iconv -f UTF-16"),
        ("a dog\n".encode("utf-16-le"), "looks like UTF-16"),
        ("a dog\n".encode("utf-32"), "iconv -f UTF-32"),
        (gzip.compress(b"a dog\n"), "gzip: name it with .gz"),
        (b"PK\x03\x04....", "a ZIP file"),
        (b"PAR1....", "Parquet: name it .parquet"),
        (b"\xd0\xcf\x11\xe0....", "an old Excel file"),
    ],
)
def test_a_file_under_another_name_is_told(tmp_path, content, says):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=says) as refused:
        read_text(tmp_path / "a.txt")
    assert "\n" not in str(refused.value)


def test_a_packed_file_is_read_and_a_broken_one_told(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufeffprompt\na dog\n".encode()))
    assert list(read_lines(path)) == ["prompt\n", "a dog\n"]
    assert strip_packing(path).name == "a.csv"
    for broken in (path.read_bytes()[:-10], b"prompt\n", path.read_bytes()[:-8] + b"\0" * 8):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_text(path)


def test_half_a_character_becomes_one_that_can_be_written():
    assert make_writable("a \ud83d dog 🐕") == "a \ufffd dog 🐕"
