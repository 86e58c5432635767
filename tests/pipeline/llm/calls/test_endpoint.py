import asyncio

import pytest

from pipeline.llm.calls.endpoint import Endpoint, EndpointStopped
from tests.support.llm_server import serving
from tests.support.params import with_values

KEY = "sk-secret-of-the-test"


@pytest.fixture
def endpoint(laptop, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(**changes):
        return Endpoint(with_values(laptop.teacher, **{"backend": "openai", "model": "m"} | changes))

    return make


def test_a_missing_key_names_its_variable(endpoint, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EndpointStopped, match="variable OPENAI_API_KEY"):
        endpoint()
    monkeypatch.setenv("OTHER_KEY", "x")
    assert endpoint(api_key_env="OTHER_KEY").key.get_secret_value() == "x"


def test_a_password_in_the_address_is_no_part_of_the_host(endpoint):
    assert endpoint(base_url="http://me:secret@127.0.0.1:1/v1").host == "127.0.0.1:1"


def test_azure_needs_the_address_of_a_resource(endpoint):
    with pytest.raises(EndpointStopped, match="set base_url"):
        endpoint(api_version="2024-10-21")


@pytest.mark.parametrize(
    ("status", "error", "headers", "kind"),
    [
        (400, {"message": "max_tokens is too large", "code": "invalid_request"}, {}, "rejected"),
        (400, {"message": "blocked", "code": "content_filter"}, {}, "answer"),
        (400, {"message": "blocked", "code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation",
               "content_filter_result": {}}}, {}, "answer"),
        (400, {"message": "the word content_filter in a user's text", "code": "invalid_request"}, {}, "rejected"),
        (401, {"message": "bad key"}, {}, "stopped"),
        (403, {"message": "not in your country"}, {}, "stopped"),
        (404, {"message": "no such model"}, {}, "stopped"),
        (413, {"message": "too large"}, {}, "rejected"),
        (429, {"message": "slow down", "code": "rate_limit_exceeded"}, {}, "limited"),
        (429, {"message": "pay", "code": "insufficient_quota"}, {}, "stopped"),
        (429, {"message": "pay", "code": None, "type": "insufficient_quota"}, {}, "stopped"),
        (408, {}, {}, "transient"),
        (409, {}, {}, "transient"),
        (500, {}, {}, "transient"),
        (503, {}, {"x-should-retry": "false"}, "rejected"),
    ],
)  # fmt: skip
def test_a_status_means_one_kind(endpoint, status, error, headers, kind):
    assert endpoint().read_failure(status, {"error": error}, headers).kind == kind


@pytest.mark.parametrize("body", [None, "<html>Bad Gateway</html>", [], {"error": "a text"}, {"detail": [1]}, 7])
def test_an_error_of_any_shape_is_an_error(endpoint, body):
    assert endpoint().read_failure(502, body, {}).kind == "transient"


def test_a_server_that_repeats_the_key_does_not_get_it_into_our_words(endpoint):
    for status in (400, 401, 500):
        reply = endpoint().read_failure(status, {"error": {"message": f"the key {KEY} is wrong"}}, {})
        assert "[key]" in reply.why and KEY not in reply.why
    kept = endpoint().read_failure(400, {"error": {"message": KEY, "code": "content_filter"}}, {})
    assert KEY not in str(kept.body)


def test_no_cut_leaves_half_of_the_key(endpoint):
    assert KEY[:4] not in endpoint().read_failure(500, {"error": {"message": "x" * 290 + KEY}}, {}).why


def test_the_words_of_an_error_can_be_written(endpoint):
    assert endpoint().read_failure(500, {"error": {"message": "half \ud83d"}}, {}).why == "500: half ?"


@pytest.mark.parametrize(("fault", "was_sent"), [("reset", True), ("cut_short", True), (None, False)])
def test_a_connection_that_broke_behind_a_request_may_have_been_answered(endpoint, fault, was_sent):
    """None: nobody listens there."""

    async def send(one):
        one.open()
        try:
            return await one.send({"model": "m", "messages": [{"role": "user", "content": "a"}]})
        finally:
            await one.close()

    with serving(lambda model, messages: "x", fault_share=1.0, faults=(fault,)) as server:
        address = server.base_url
        if was_sent:
            reply = asyncio.run(send(endpoint(base_url=address)))
    if not was_sent:
        reply = asyncio.run(send(endpoint(base_url=address)))
    assert (reply.kind, reply.lost, reply.status) == ("transient", was_sent, 0)
    assert fault or "Cannot connect to host 127.0.0.1" in reply.why
    assert "APIConnectionError" not in reply.why  # its words say nothing of the cause
