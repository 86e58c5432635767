import pytest

from pipeline.runtime.progress import progress


def test_work_that_ends_at_once_shows_nothing(capsys):
    with progress("render", 3) as report:
        report(3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("report_of", "shown"),
    [((2, 8, None), "  render: 2 of 8 · "), ((2, None, lambda: "3 from store"), " · 3 from store\n")],
)
def test_a_line_tells_how_far_it_is(capsys, report_of, shown):
    with progress("render", every_s=-1.0) as report:
        report(*report_of)
    assert shown in capsys.readouterr().err
