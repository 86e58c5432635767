"""Faults drawn from syntax: each kind changes what it says, and nothing that no test should pin."""

import ast

import pytest

from bench.mutations import draw, mutations


def changed(source):
    """Return kind -> the sources with one fault of that kind."""
    by_kind = {}
    for one in mutations(source.encode()):
        by_kind.setdefault(one.kind, []).append(one.apply(source.encode()).decode())
    return by_kind


@pytest.mark.parametrize(
    ("source", "kind", "results"),
    [
        ("x = n < 3", "comparison", ["x = (n <= 3)"]),
        ("x = n < 0.3", "comparison", ["x = (n > 0.3)"]),
        ("x = a in b", "comparison", ["x = (a not in b)"]),
        ("x = n + 1", "arithmetic", ["x = (n - 1)"]),
        ("x = a and b", "and, or", ["x = (a or b)"]),
        ("x = not a", "not left out", ["x = (a)"]),
        ("if a:\n    b = c", "condition negated", ["if (not a):\n    b = c"]),
        ("x = a if b else c", "branches exchanged", ["x = (c if b else a)"]),
        ("x = [a for a in b if a]", "filter left out", ["x = [a for a in b if True]"]),
        ("x = f(a, beta=b)", "keyword beta left out", ["x = (f(a))"]),
        ("x = sorted(a)", "order turned", ["x = (sorted(a, reverse=True))"]),
        ("x = min(a)", "min, max, any, all", ["x = max(a)"]),
        ("x = a[:n]", "slice", ["x = a[:(n + 1)]"]),
        ("f(a)", "step left out", ["pass"]),
        ("x += a", "step left out", ["pass"]),
        ("x = True", "constant", ["x = False"]),
        ("x = 2", "constant", ["x = 3"]),
        ("for a in b:\n    continue", "loop left", ["for a in b:\n    break"]),
        ("x = 'é' if a else c", "branches exchanged", ["x = (c if a else 'é')"]),
    ],
)
def test_each_kind_of_fault_changes_its_site_alone(source, kind, results):
    assert changed(source)[kind] == results


@pytest.mark.parametrize(
    "source",
    [
        'x = "a" + b', 'raise Fault(n + 1)', 'click.echo(n + 1)', 'f"{n + 1}"', "import a",
        "def f(a: int | None) -> None:\n    return", '@option(default=1)\ndef f():\n    """1 < 2"""',
        "x = open(a, encoding=b)", "ROOT = parents[1]",
    ],
)  # fmt: skip
def test_words_types_and_what_is_for_people_are_no_sites(source):
    assert mutations(source.encode()) == []


def test_a_seed_draws_every_site_once_and_again_in_the_same_order():
    source = b"x = [a + 1 for a in sorted(b) if a < 3 and not a]\nif x:\n    f(x, key=2)\n"
    one, again, other = (list(draw(source, seed)) for seed in ("1/m", "1/m", "2/m"))
    assert one == again and sorted(one) == sorted(other) == sorted(mutations(source)) and one != other
    assert all(ast.parse(fault.apply(source)) for fault in one)
