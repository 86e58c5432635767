"""What a user gets for a query that the optimizer fails on."""

import pytest

from pipeline.evaluation.prompt_sources import make_rollout
from pipeline.evaluation.serving import serve_failures, why_nothing_is_served
from schemas.base import Dropped
from schemas.reasons import Reason
from schemas.rollout import Rollout
from tests.support.rows import BY
from tests.support.small_project import queries

GENERAL, SAFETY = queries("test")[0], queries("test")[4]


def failing(reason, detail="no end after 120 tokens"):
    """Return a writer that fails on every query but the second one."""

    def write(rows):
        for number, row in enumerate(rows):
            if number == 1:
                yield make_rollout(row, "A calm scene.", BY, arm="dpo", suite="test")
            else:
                yield Dropped(input_id=f"{row.query_id}/0", reason=reason, detail=detail, suite="test", arm="dpo")

    return write


def serve(rows, reason, params):
    return list(serve_failures(rows, failing(reason), params, arm="dpo", suite="test"))


@pytest.fixture
def params(laptop):
    return laptop.optimize


@pytest.mark.parametrize("reason", [Reason.TRUNCATED, Reason.EMPTY, Reason.UNPARSED, Reason.FAILED])
def test_a_failure_on_a_general_query_serves_the_query_and_says_why(params, reason):
    served, written = serve([GENERAL, SAFETY], reason, params)
    assert isinstance(served, Rollout)
    assert (served.prompt, served.served, served.failure) == (GENERAL.query, "query", reason)
    assert (served.written_by.backend, served.arm, served.suite) == ("query", "dpo", "test")
    assert (written.prompt, written.served, written.failure) == ("A calm scene.", "prompt", None)


def test_every_query_behind_a_written_one_is_served_too(params):
    rows = serve([GENERAL, SAFETY, GENERAL], Reason.EMPTY, params)
    assert [row.served for row in rows] == ["query", "prompt", "query"]


def test_a_flagged_query_is_never_passed_on_raw(params):
    withheld, _ = serve([SAFETY, GENERAL], Reason.TRUNCATED, params)
    assert isinstance(withheld, Dropped)
    assert (withheld.reason, withheld.input_id) == ("withheld", f"{SAFETY.query_id}/0")
    assert withheld.detail == "truncated: no end after 120 tokens"


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.CONTENT_FILTER])
@pytest.mark.parametrize("safety", [True, False])
def test_a_refusal_stays_a_refusal(params, reason, safety):
    assert why_nothing_is_served(reason, safety, params) == reason
    (refused, _) = serve([SAFETY if safety else GENERAL, GENERAL], reason, params)
    assert isinstance(refused, Dropped) and refused.reason == reason


def test_nothing_is_served_where_the_params_ask_for_an_error(params):
    strict = params.model_copy(update={"on_failure": "error"})
    lost, written = serve([GENERAL, SAFETY], Reason.TRUNCATED, strict)
    assert isinstance(lost, Dropped) and lost.reason == "truncated"
    assert isinstance(written, Rollout)


def test_an_arm_that_was_not_trained_serves_nobody(laptop):
    assert why_nothing_is_served("not_trained", False, laptop.optimize) == "not_trained"
