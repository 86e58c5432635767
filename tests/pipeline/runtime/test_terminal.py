import errno
import json
import sqlite3
import unicodedata

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.terminal import Door, escape_json, make_visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog, 犬, 👩‍🚀", "a dog, 犬, 👩‍🚀"),
        ("\x1b[2Ja\x07", "^[[2Ja^G"),
        ("a\x7f\x00", "a^?^@"),
        ("\x80\x81\x9f", "<U+0080><U+0081><U+009F>"),
        ("\xad\u2028\ue000", "<U+00AD><U+2028>\ue000"),
        ("\u202eevil\u2069", "<U+202E>evil<U+2069>"),
        ("\x9b31m", "<U+009B>31m"),
        ("half \ud83d", "half <U+D83D>"),
        ("two\nlines\tand\rmore", "two\nlines\tand^Mmore"),
    ],
)
def test_what_steers_a_terminal_is_shown(text, shown):
    assert make_visible(text) == shown


@given(st.text())
def test_no_control_or_bidi_mark_reaches_a_terminal(text):
    shown = make_visible(text)
    assert make_visible(shown) == shown
    bad = {sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert bad <= {"\n", "\t", "\u200c", "\u200d"}


@given(st.text())
def test_escaped_json_says_the_same(text):
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text


def test_an_error_of_a_command_is_shown_and_does_nothing():
    @click.group(cls=Door)
    def main():
        pass

    @main.command()
    def fail():
        raise click.ClickException("the host says \x1b[31mno")

    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 1 and "^[[31mno" in result.output and "\x1b" not in result.output


def door_to(fault):
    """Return a command line whose command `fail` ends with a fault."""

    @click.group(cls=Door)
    def main():
        pass

    @main.command()
    def fail():
        raise fault

    return main


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "data/a"), "data/a: no space left on device: make room"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file being written: no space left on device: make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: permission denied: make it yours to read and"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: read-only file system: make the folder writable"),
        (sqlite3.OperationalError("disk I/O error"), "answers.sqlite: disk I/O error; `vpo doctor` says what to do"),
    ],
)
def test_a_fault_of_disk_or_store_is_one_line_with_the_way_out(fault, line):
    result = CliRunner().invoke(door_to(fault), ["fail"])
    assert result.exit_code == 1 and line in result.output and "Traceback" not in result.output


@pytest.mark.parametrize("fault", [OSError("of no file"), ChildProcessError(errno.ECHILD, "No child"), KeyError("a")])
def test_a_fault_that_nobody_knows_a_way_out_of_shows_where_it_came_from(fault):
    assert CliRunner().invoke(door_to(fault), ["fail"], standalone_mode=False).exception is fault
