"""How far a long stage is, as it is shown where there is no terminal."""

from pipeline.runtime import progress as module
from pipeline.runtime.progress import progress


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_nothing_is_shown_of_work_that_ends_soon(capsys):
    with progress("clips", total=3) as show:
        for done in range(3):
            show(done + 1)
    assert lines(capsys) == []


def test_a_clock_shows_hours_only_where_there_are_some():
    assert [module._clock(seconds) for seconds in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
