import sqlite3
from contextlib import closing

import pytest
from click import ClickException

from pipeline.llm.calls.prices import Price, find_price, require_price_for_budget
from pipeline.runtime.store import Store
from tests.support.params import with_values


@pytest.fixture
def priced(laptop, tmp_path):
    def find(model, base_url, **values):
        params = with_values(laptop.teacher, backend="openai", model=model, base_url=base_url, **values)
        return find_price(params, base_url, Store(tmp_path))

    return find


def test_a_known_model_has_a_price_and_the_store_keeps_it_without_a_password(priced, tmp_path):
    price = priced("gpt-4o-mini", "https://me:secret@api.openai.com/v1")
    assert 0 < price.input < price.output
    assert priced("gpt-4o-mini", "https://api.openai.com/v1") == price
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as connection:
        rows = connection.execute("select request from answers").fetchall()
    assert len(rows) == 1
    assert "secret" not in str(rows)


def test_a_model_that_nobody_knows_has_no_price(priced):
    assert priced("no-such-model", "https://api.openai.com/v1") is None


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/v1", "http://localhost/v1"])
def test_a_server_of_ones_own_has_no_price(priced, base_url):
    assert priced("gpt-4o-mini", base_url) is None


def test_a_batch_costs_half_whoever_says_the_price(priced):
    url = "https://api.openai.com/v1"
    given = {"usd_per_million_input_tokens": 3.0, "usd_per_million_output_tokens": 8.0}
    for more in ({}, given):
        whole, half = (priced("gpt-4o-mini", url, mode=mode, **more) for mode in ("direct", "batch"))
        assert (half.input, half.output) == (whole.input / 2, whole.output / 2)
        assert half.source == whole.source
    assert (whole.input, whole.output, whole.source) == (3e-6, 8e-6, "params.yaml")


def test_input_and_output_have_prices_of_their_own():
    assert Price(2.0, 5.0, "params.yaml").cost_usd(10, 1) == 25.0


def test_each_model_has_a_price_of_its_own_in_the_store(priced):
    url = "https://api.openai.com/v1"
    assert priced("gpt-4o-mini", url).input < priced("gpt-4o", url).input


def test_a_budget_needs_a_price(laptop):
    params = with_values(laptop.teacher, backend="openai", model="m", base_url="http://localhost/v1", budget_usd=1.0)
    with pytest.raises(ClickException, match="budget_usd is set, but the price of m is unknown"):
        require_price_for_budget(params, None)
    require_price_for_budget(params, Price(1.0, 1.0, "params.yaml"))
    require_price_for_budget(with_values(params, budget_usd=None), None)
