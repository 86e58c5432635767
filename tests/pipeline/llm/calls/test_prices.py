import sqlite3
from contextlib import closing

import pytest

from pipeline.llm.calls.prices import find_price
from pipeline.runtime.store import Store
from tests.support.params import with_values


@pytest.fixture
def priced(laptop, tmp_path):
    def find(model, base_url):
        params = with_values(laptop.teacher, backend="openai", model=model, base_url=base_url)
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
