"""What a cluster has room for, and what its workers get of the driver's environment; no Ray runs."""

import math
import os
import socket
import sys
from types import SimpleNamespace

import pytest

from pipeline.runtime.fanout_ray import (
    PASSED_ON,
    Worker,
    count_places,
    environment,
    is_reachable,
    read_most_workers,
    wrap_fault,
)
from pipeline.runtime.io import DataError


@pytest.mark.parametrize(
    ("resources", "needs", "n"),
    [
        ({"GPU": 3.0, "CPU": 8.0}, {"num_gpus": 1, "num_cpus": 0}, 3),
        ({"GPU": 1.0, "CPU": 8.0}, {"num_gpus": 1, "num_cpus": 0}, 1),
        ({"GPU": 0.5, "CPU": 8.0}, {"num_cpus": 1}, 8),
        ({"CPU": 4.0}, {"num_cpus": 1}, 4),
        ({"CPU": 0.5}, {"num_cpus": 1}, 1),
        ({}, {"num_cpus": 1}, 1),
    ],
)
def test_a_worker_takes_a_gpu_and_a_cpu_where_there_is_none(resources, needs, n):
    assert count_places(SimpleNamespace(cluster_resources=lambda: resources)) == (needs, n)


@pytest.mark.parametrize(("text", "n"), [(None, math.inf), ("", math.inf), ("all", math.inf), ("1", 1), ("12", 12)])
def test_the_number_of_workers_is_read(monkeypatch, text, n):
    monkeypatch.delenv("VPO_WORKERS", raising=False)
    if text is not None:
        monkeypatch.setenv("VPO_WORKERS", text)
    assert read_most_workers() == n


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many"])
def test_another_number_of_workers_is_refused_with_what_is_right(monkeypatch, text):
    monkeypatch.setenv("VPO_WORKERS", text)
    with pytest.raises(DataError, match=f"VPO_WORKERS={text}: must be a whole number from 1 on"):
        read_most_workers()


def test_a_worker_gets_where_things_are_kept_the_drivers_code_and_no_secret(monkeypatch, root):
    for name in PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VPO_HOME", "its own home")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    values = environment()
    assert values.keys() == {"VPO_HOME", "PYTHONPATH"} and values["VPO_HOME"] == "its own home"
    folders = values["PYTHONPATH"].split(os.pathsep)
    assert str(root) in folders and len(folders) == len({*folders})
    assert not [folder for folder in folders if folder.startswith((sys.prefix, sys.base_prefix))]
    assert {*folders} <= {os.path.abspath(folder) for folder in sys.path}


def test_an_address_is_reachable_where_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert is_reachable(address)
    assert not is_reachable(address)
    assert is_reachable("auto") and is_reachable("local")


def test_our_own_error_goes_on_as_its_message_and_another_with_its_traceback():
    ours = wrap_fault(DataError("rows.jsonl:3: no such row"))
    assert (ours.text, ours.ours) == ("rows.jsonl:3: no such row", True)
    assert isinstance(ours.to_exception(), DataError) and ours.to_exception().message == ours.text
    other = wrap_fault(ValueError("what"))
    assert not other.ours and "ValueError: what" in other.text
    assert str(other.to_exception()).startswith("in a worker on Ray:\n") and type(other.to_exception()) is RuntimeError


@pytest.mark.parametrize(("at_once", "n"), [(None, 4), (7, 7), (1, 1), (0, 1)])
def test_a_worker_says_how_many_items_its_backend_works_on_at_once(monkeypatch, tmp_path, at_once, n):
    import pipeline.runtime.fanout_ray as module

    monkeypatch.chdir(tmp_path)  # undone after the test, since a worker goes to the driver's folder
    backend = SimpleNamespace() if at_once is None else SimpleNamespace(at_once=at_once)
    worker = Worker()
    assert worker.start(lambda: backend, str(tmp_path), module.__file__) == n
    assert worker.backend is backend


def test_a_worker_on_a_machine_without_the_project_names_what_is_missing(tmp_path):
    import pipeline.runtime.fanout_ray as module

    gone, other = str(tmp_path / "gone"), str(tmp_path / "other.py")
    assert Worker().start(dict, gone, module.__file__).text.startswith(f"{gone}: not on every machine")
    assert Worker().start(dict, str(tmp_path), other).text.startswith(f"{other}: not on every machine")
