import asyncio

import pytest

from pipeline.backends.renderer.http_adapters import ADAPTERS, Call
from pipeline.backends.renderer.http_host import Host
from pipeline.runtime.io import DataError
from schemas.reasons import Reason
from tests.support.clip_requests import one, params
from tests.support.clip_server import KEY, clip_of, serving_clips

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def keys(monkeypatch, vpo_home):
    monkeypatch.setenv("HOST_KEY", KEY)


@pytest.mark.parametrize("fault", ["elsewhere", "file_redirect"])
def test_the_key_goes_to_no_other_host(laptop, fault):
    with serving_clips() as thief:
        outcome, server = one(laptop, fault, elsewhere=thief.origin)
        assert [line[2] for line in thief.log] == [None]
    assert outcome.value.content == clip_of("")
    assert {line[2] for line in server.log} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_host_on_the_internet_cannot_send_us_into_our_own_network(laptop, name):
    async def fetched(url):
        settings = params(laptop, "https://1.1.1.1/v1")
        host = Host(settings, ADAPTERS[settings.adapter])
        await host.open()
        try:
            return await host.download(url, 10)
        finally:
            await host.close()

    with serving_clips() as server:
        reply = asyncio.run(fetched(server.origin.replace("127.0.0.1", name) + "/files/x"))
    assert (reply.kind, server.log) == ("rejected", [])
    assert reply.why.endswith("an address inside our own network, where base_url does not lie")


def test_an_address_that_no_host_can_have_is_one_that_nobody_reaches(laptop):
    async def called():
        settings = params(laptop, f"http://{'a' * 70}.example/v1")
        host = Host(settings, ADAPTERS[settings.adapter])
        await host.open()
        try:
            return await host.call(Call("/videos"))
        finally:
            await host.close()

    assert asyncio.run(called()).kind == "transient"


def test_a_call_that_is_sent_on_to_another_host_stops_the_stage(laptop):
    with serving_clips() as thief, pytest.raises(DataError, match="sends calls on to 127.0.0.1.*must be the address"):
        one(laptop, "redirect", elsewhere=thief.origin)
    assert not thief.log


def test_a_file_that_comes_byte_by_byte_is_waited_for_no_longer_than_a_clip(laptop):
    outcome, server = one(laptop, "file_slow", timeout_s=0.3)
    assert outcome.reason == Reason.RENDER_FAILED and "gave no clip in 0.3 s" in outcome.detail
    assert server.prompts() == ["a dog"]
