"""Imports run one way."""

from graphlib import CycleError, TopologicalSorter

import pytest

from docs.house import ROOMS, ROOT, arrows, imported_files, imported_names, modules


def test_each_room_imports_only_rooms_below_it():
    upward = {
        f"{room} -> {other}"
        for room, others in arrows().items()
        for other in others
        if ROOMS.index(other) > ROOMS.index(room)
    }
    assert upward == set()


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: imported_files(module) for module in modules()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as fault:
        pytest.fail(f"a circle: {' <- '.join(fault.args[1])}")


def test_nothing_imports_an_experiment_or_what_else_stands_beside_the_packages():
    beside = {"experiments", "bench", "docs", "tests"}
    lines = [
        f"{module} imports {name}"
        for module in modules()
        for name in imported_names(ROOT / module)
        if name.split(".")[0] in beside
    ]
    assert lines == []
