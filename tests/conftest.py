"""Rows by hand and the settings that every test needs."""

import gc
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no test here is about time: the first call of a numba function compiles it, and a busy machine draws examples slowly
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# the same examples each time, so that what fails is what was changed; --hypothesis-profile=search draws others,
# thorough many: 20,000 texts of models
settings.register_profile("vpo", derandomize=True, **UNTIMED)
settings.register_profile("search", **UNTIMED)
settings.register_profile("thorough", max_examples=3_400, **UNTIMED)
settings.load_profile("vpo")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
# Ray would kill workers when other programs fill the machine's memory
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")

ROOT = Path(__file__).resolve().parents[1]
PLAIN = "not graph and not slow and not gpu and not live"
"""The plain tier, as the Makefile writes it."""
MODULES = pytest.StashKey[int]()
"""How many modules were loaded when all that was in memory was frozen."""
WHOLE = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.(slow|graph)\b", re.MULTILINE)
TOGETHER = {
    "numba": ("pipeline/curation/", "pipeline/test_queries"),
    "graph": ("test_graph.py", "test_ready_graph.py", "test_wiring.py"),
}
"""Files that one process takes: what numba compiles for them is compiled once, and `project` runs the graph once."""


def pytest_ignore_collect(collection_path, config):
    """In the plain tier leave unread what is slow as a whole: a quarter of what each process would read and rewrite."""
    if config.option.markexpr == PLAIN and collection_path.suffix == ".py":
        return bool(WHOLE.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


def pytest_collection_modifyitems(config, items):
    """Mark what asks for the trained model; leave out the nightly tests unless -m names them, whatever else it says."""
    for item in items:
        if "tiny_model" in item.fixturenames:
            item.add_marker(
                "slow"
            )  # torch and transformers alone take four seconds to load, so the plain tier does not
    if "nightly" not in config.option.markexpr:
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """As `--dist loadfile`, but the files of each line of TOGETHER are one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            names = (name for name, paths in TOGETHER.items() if file.removeprefix("tests/").startswith(paths))
            return next(names, file)

    return Scheduling(config, log)


def pytest_configure():
    """Collect no garbage while the tests are read: all that is made then stays."""
    gc.disable()


def pytest_collection_finish(session):
    """Begin the tests with what was imported and collected out of the garbage collector's rounds."""
    freeze(session.config)
    # a test leaves little behind and its process is short: a round at every 700th object costs more than it frees
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """The same for the libraries that a test has loaded: a round through torch and transformers takes half a second."""
    # what is frozen is never freed, and DuckDB's binding would report that at the end of the process as leaks
    if len(sys.modules) > item.config.stash[MODULES] + 50 and "duckdb" not in sys.modules:
        freeze(item.config)


def freeze(config):
    """Take all that is in memory out of the garbage collector's rounds, which else walk all of it."""
    gc.collect()
    gc.freeze()
    config.stash[MODULES] = len(sys.modules)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def laptop():
    """The params of params.yaml as they are checked in."""
    from pipeline.runtime.params_file import load_params

    return load_params(ROOT / "params.yaml")


@pytest.fixture
def vpo_home(tmp_path, monkeypatch) -> Path:
    """An empty $VPO_HOME."""
    monkeypatch.setenv("VPO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real queries and benchmark lists beside the checkout; tests that need them skip without."""
    return _find_beside("shared/data")


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small inputs beside the checkout, each once misread; tests that read them skip without."""
    return _find_beside("shared/cases")


def _find_beside(name: str) -> Path:
    """Return a folder beside the checkout; skip the test where it is not there."""
    folder = ROOT.parent / name
    if not folder.exists():
        pytest.skip(f"no {name} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The project after one `dvc repro`."""
    folder = tmp_path_factory.mktemp("graph")
    from tests.support.project import Project

    project = Project(folder / "project", folder / "home")
    (folder / "read").mkdir()
    done = project.run("dvc", "repro", VPO_PARAMS_READ=str(folder / "read"))
    (folder / "repro.log").write_text(done.stdout + done.stderr)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "after repro")
    return project


@pytest.fixture
def copy(project, tmp_path):
    """A copy of the finished project that a test may change; its $VPO_HOME is the same one."""
    shutil.copytree(project.path, tmp_path / "copy", symlinks=True)
    other = object.__new__(type(project))
    other.path, other.home = tmp_path / "copy", project.home
    return other


@pytest.fixture(scope="session")
def tiny_params(laptop):
    """The laptop's params for a model that is made in a second."""
    from tests.support import tiny_policy

    return tiny_policy.params(laptop)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, tiny_params) -> Path:
    """The folder of a tiny policy after a few steps of the copy task; for reading alone."""
    from tests.support import tiny_policy

    return tiny_policy.write(tiny_params, tmp_path_factory.mktemp("tiny") / "base")
