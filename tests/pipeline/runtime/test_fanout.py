import os
import subprocess
import sys

import pytest

from pipeline.runtime.fanout import fan_out
from schemas.seams import Outcome


class Doubling:
    """A backend that reads `ahead` items before it answers the first, and tells what it was asked."""

    def __init__(self, ahead=0):
        self.ahead, self.asked = ahead, []

    def map(self, asked):
        source = iter(asked)
        while some := [item for _, item in zip(range(self.ahead + 1), source, strict=False)]:
            self.asked += some
            yield from (Outcome(value=2 * item) for item in some)


def doubled(items, backend, keep=lambda item, outcome: (item, outcome.value)):
    return fan_out(lambda: backend, items, lambda item: item + 100, keep)


@pytest.mark.parametrize("ahead", [0, 2, 50])
def test_each_item_is_asked_once_and_kept_in_order(ahead):
    backend = Doubling(ahead)
    assert list(doubled(range(7), backend)) == [(item, 2 * (item + 100)) for item in range(7)]
    assert backend.asked == [item + 100 for item in range(7)]


def test_an_outcome_is_kept_before_the_next_item_is_asked():
    backend, seen = Doubling(), []
    list(doubled(range(3), backend, lambda item, outcome: seen.append((item, len(backend.asked)))))
    assert seen == [(0, 1), (1, 2), (2, 3)]


def test_a_backend_that_ends_early_is_found_out():
    class Short:
        def map(self, asked):
            return (Outcome(value=item) for item in list(asked)[:-1])

    with pytest.raises(ValueError, match="shorter"):
        list(doubled(range(3), Short()))


def test_no_backend_works_when_there_is_nothing_to_do():
    assert list(doubled([], Doubling())) == []


def test_a_backend_that_does_not_spread_stays_in_this_process_whatever_the_executor(monkeypatch):
    monkeypatch.setenv("VPO_EXECUTOR", "ray")
    backend = Doubling()
    answers = fan_out(lambda: backend, range(2), lambda item: item, lambda item, outcome: outcome.value, spreads=False)
    assert list(answers) == [0, 2] and backend.asked == [0, 1]


def test_an_unknown_executor_is_refused_with_the_known_ones():
    code = (
        "from pipeline.runtime.fanout import fan_out\nfrom pipeline.runtime.io import DataError\n"
        "try: list(fan_out(None, [], None, None))\nexcept DataError as fault: print(fault.message)"
    )
    environment = os.environ | {"VPO_EXECUTOR": "dask"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "VPO_EXECUTOR=dask: must be local or ray"
