"""Every supported Python gets the same libraries."""

import re
from collections import Counter
from pathlib import Path


def test_each_library_is_pinned_once_for_all_pythons():
    lines = Path("constraints.txt").read_text().splitlines()
    pins = [re.match(r"[\w.-]+", line)[0] for line in lines if not line.startswith("#")]
    assert len(pins) > 100
    assert {name: times for name, times in Counter(pins).items() if times > 1} == {}
