from importlib import metadata
from pathlib import Path

import pytest

from vpo import doctor, versions

ASKED = [
    "click>=8.1",
    'av<19,>=18.1; extra == "video"',
    'torch<2.14,>=2.13; extra == "train"',
    'vpo[hub]; extra == "x"',
]


@pytest.fixture
def installed(monkeypatch) -> dict[str, str]:
    """The versions that are installed, for a test to change; vpo asks for ASKED."""
    found = {"click": "8.5.1", "av": "18.1.0", "torch": "2.13.0+cpu"}

    def version(name: str) -> str:
        if name not in found:
            raise metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(metadata, "requires", lambda name: ASKED)
    monkeypatch.setattr(metadata, "version", version)
    versions.requirements.cache_clear()
    yield found
    versions.requirements.cache_clear()


def of(extra: str, root: Path, wanted: set[str] = frozenset()):
    return {check.name: check for check in doctor.check_extras(set(wanted), root)}[f"extra {extra}"]


def test_a_library_out_of_its_range_is_named_and_is_wrong_where_its_extra_is_wanted(installed, tmp_path):
    assert of("video", tmp_path, {"video"}).ok
    installed["av"] = "19.0.2"
    check = of("video", tmp_path, {"video"})
    assert not check.ok and check.state == "av 19.0.2 is not <19,>=18.1" and "vpo[video]" in check.todo
    assert of("video", tmp_path).ok


def test_a_library_of_the_core_out_of_its_range_is_wrong(installed, tmp_path):
    assert doctor.check_core(tmp_path).ok
    installed["click"] = "7.0"
    assert not doctor.check_core(tmp_path).ok
    assert doctor.check_core(tmp_path).state == "click 7.0 is not >=8.1"


def test_another_version_than_was_tested_is_told_and_is_not_wrong(installed, tmp_path):
    (tmp_path / "constraints.txt").write_text(
        "# pins\nav==18.1.0\nclick==8.5.1 ; sys_platform == 'linux'\ntorch==2.13.0\n"
    )
    assert of("train", tmp_path, {"train"}).state == "installed"  # 2.13.0+cpu is a build of 2.13.0
    installed |= {"av": "18.2.0", "click": "8.6.0"}
    check = of("video", tmp_path, {"video"})
    assert check.ok and check.state == "av 18.2.0, tested 18.1.0" and "constraints.txt" in check.todo
    assert doctor.check_core(tmp_path).ok and doctor.check_core(tmp_path).state == "click 8.6.0, tested 8.5.1"


def test_what_is_not_installed_has_no_version(installed, tmp_path):
    del installed["av"]
    assert versions.out_of_range("video") == [] == versions.find_untested("video", tmp_path / "none.txt")


def test_sources_that_are_not_installed_ask_for_nothing(installed, monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: metadata.version("none"))
    versions.requirements.cache_clear()
    assert versions.out_of_range() == []
