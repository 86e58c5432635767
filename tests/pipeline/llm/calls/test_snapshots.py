import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.calls.engine import Engine
from pipeline.runtime.store import Store
from tests.support.llm_echo import echo
from tests.support.llm_server import serving
from tests.support.paid_calls import ask, bodies
from tests.support.params import with_values


@pytest.fixture
def moving(laptop, tmp_path, monkeypatch):
    """Return an engine of a server whose alias moves to another snapshot behind its `after`-th reply."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(server, rule):
        params = with_values(
            laptop.teacher, backend="openai", model="m", base_url=server.base_url, max_concurrency=1,
            on_snapshot_change=rule,
        )  # fmt: skip
        return Engine("teacher", params, Store(tmp_path / "store"))

    return make


def models(answers):
    return [answer.stored["body"]["model"] for answer in answers]


@pytest.mark.parametrize("rule", [None, "stop"])
def test_a_run_stops_where_the_alias_moves_and_stays_stopped_without_a_request(moving, rule):
    with serving(echo, moves_after=49) as server:
        for _ in range(2):
            with pytest.raises(EndpointStopped, match="m answers as m-later now, and stored answers are of m-snapshot"):
                ask(moving(server, rule), bodies(100))
        assert len(server.requests) == 50


def test_new_buys_anew_what_the_other_answered(moving):
    with serving(echo, moves_after=49) as server:
        with pytest.raises(EndpointStopped, match="run again"):
            ask(moving(server, "new"), bodies(100))
        assert models(ask(moving(server, "new"), bodies(100))) == ["m-later"] * 100
        assert len(server.requests) == 50 + 50 + 49
        ask(moving(server, "new"), bodies(100))
        assert len(server.requests) == 149


def test_mix_uses_both_and_says_so_once(moving, capsys):
    with serving(echo, moves_after=49) as server:
        assert models(ask(moving(server, "mix"), bodies(100))) == ["m-snapshot"] * 49 + ["m-later"] * 51
        assert capsys.readouterr().err.count("both are used") == 1
        assert models(ask(moving(server, "mix"), bodies(100))) == ["m-snapshot"] * 49 + ["m-later"] * 51
        assert capsys.readouterr().err.count("both are used") == 1 and len(server.requests) == 100


def test_after_a_stop_new_goes_on_with_the_later_one(moving):
    with serving(echo, moves_after=49) as server:
        with pytest.raises(EndpointStopped):
            ask(moving(server, "stop"), bodies(100))
        assert models(ask(moving(server, "new"), bodies(100))) == ["m-later"] * 100


def test_a_store_of_an_earlier_version_knows_its_snapshot_by_its_answers(moving, tmp_path):
    with serving(echo, moves_after=10) as server:
        ask(moving(server, "stop"), bodies(10))
        with Store(tmp_path / "store") as store:
            store.connection.execute("drop table snapshots")
        with pytest.raises(EndpointStopped, match="stored answers are of m-snapshot"):
            ask(moving(server, "stop"), bodies(11))
