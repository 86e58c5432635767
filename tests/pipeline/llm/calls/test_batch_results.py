"""What the files of a batch say is taken over once, however they lie or break off."""

import asyncio
import json

import pytest

from tests.support.llm_batches import Batches as ServerBatches
from tests.support.llm_echo import conversations, echo, expected, parse
from tests.support.llm_in_batches import DOLLAR_A_TOKEN, Spoilt, batches_of, change, values
from tests.support.llm_server import serving

pytestmark = pytest.mark.slow  # together they take a good share of a minute


def spoil_output(server, spoil):
    server.batches = Spoilt(server, 2, 0.0)
    server.batches.spoil = lambda purpose, lines: spoil(lines) if purpose == "batch_output" else lines


def test_a_line_with_a_400_fails_with_its_words_and_is_not_asked_again(teacher):
    def wrong(lines):
        rows = [json.loads(line) for line in lines]
        body = {"error": {"message": "too long", "code": "invalid_request"}}
        rows[0] |= {"response": {"status_code": 400, "request_id": "x", "body": body}}
        return [json.dumps(row).encode() + b"\n" for row in rows]

    with serving(echo) as server:
        spoil_output(server, wrong)
        outcomes = list(teacher(server).map(conversations(5), parse))
        assert len(batches_of(server)) == 1
    assert [outcome.detail for outcome in outcomes if outcome.value is None] == ["400: too long"]


def twice(lines):
    return [*lines, *lines]


def strangers(lines):
    return [*lines, lines[0].replace(b'"custom_id": "', b'"custom_id": "x'), b'{"custom_id": null}\n', b"[]\n", b"\n"]


def cut(lines):
    return [*lines[:-1], lines[-1][:-20]]


def broken_off(lines):
    return lines[: len(lines) // 2]


def no_text(lines):
    return [line.replace(b'"content": "QUERY 3"', b'"content": 7') for line in lines]


def odd_signs(lines):
    return [line.replace(b"QUERY", "QUERY\u2028\x0b é".encode().replace(b"\x0b", b"\\u000b")) for line in lines]


@pytest.mark.parametrize(
    ("spoil", "n_batches"),
    [(twice, 1), (strangers, 1), (cut, 2), (broken_off, 2), (no_text, 2), (odd_signs, 1)],
)
def test_a_file_that_lies_costs_at_most_another_batch(teacher, spoil, n_batches, capsys):
    done = []

    def once(lines):
        done.append(spoil)
        return spoil(lines) if len(done) == 1 else lines

    with serving(echo) as server:
        spoil_output(server, once)
        asked = teacher(server)
        found = values(asked, 10)
        assert len(batches_of(server)) == n_batches
    assert [value.replace("\u2028\x0b é", "") for value in found] == expected(10)
    told = {twice: "10 twice", strangers: "2 not asked for, 1 cut", cut: "1 cut"}
    if spoil in told:
        assert set(told[spoil].split(", ")) == set(passed_over(capsys).split(", "))


def passed_over(capsys):
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "passed over" in line]
    return said.split("passed over: ")[1]


def test_an_output_file_that_is_not_there_costs_another_batch(teacher):
    class Forgetful(ServerBatches):
        def put(self, content, filename, purpose):
            about = super().put(content, filename, purpose)
            return about | {"id": "file-gone"} if filename.startswith("batch_0") else about

    with serving(echo) as server:
        server.batches = Forgetful(server, 2, 0.0)
        assert values(teacher(server), 5) == expected(5)
        assert len(batches_of(server)) == 2


def test_a_download_that_breaks_off_is_begun_again_and_nothing_is_charged_twice(teacher):
    class Breaking(ServerBatches):
        broken = 0

        async def handle(self, request):
            from aiohttp import web

            whole = await super().handle(request)
            if not request.path.endswith("content") or self.broken == 2:
                return whole
            self.broken += 1
            half = web.StreamResponse(headers={"Content-Length": str(len(whole.body))})
            await half.prepare(request)
            await half.write(whole.body[: len(whole.body) * 2 // 3])
            await asyncio.sleep(0.05)
            request.transport.abort()
            return half

    with serving(echo) as server:
        server.batches = Breaking(server, 2, 0.0)
        asked = teacher(server, **DOLLAR_A_TOKEN)
        assert values(asked, 1200) == expected(1200)
        assert server.batches.broken == 2 and len(batches_of(server)) == 1
        tokens = sum(entry[3] + entry[4] for entry in server.log)
        assert asked.engine.ledger.store.read_spent_usd(asked.engine.ledger.account) == tokens / 2


def test_a_run_killed_while_it_stored_charges_nothing_twice(teacher, tmp_path):
    with serving(echo) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        values(asked, 6)
        spent = asked.engine.ledger.store.read_spent_usd(asked.engine.ledger.account)
        change(tmp_path, "update batches set status = null")
        change(
            tmp_path,
            "insert into batch_requests select key, (select name from batches), 0, json_extract(request, '$.body') "
            "from answers",
        )
        change(tmp_path, "delete from answers where rowid in (select rowid from answers limit 2)")
        again = teacher(server, **DOLLAR_A_TOKEN)
        assert values(again, 6) == expected(6)
        assert len(batches_of(server)) == 1
        each = spent / 6
        assert again.engine.ledger.store.read_spent_usd(again.engine.ledger.account) == pytest.approx(spent + 2 * each)
