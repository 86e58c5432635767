import json
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
