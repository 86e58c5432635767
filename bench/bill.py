"""The budget against the endpoint's own bill: `python -m bench.bill`.

The endpoint bills a question when it arrives, whatever becomes of the answer: it is late, hangs, breaks off, or ends in
a status of 500 after the work. At every arrival, and at the end, its bill is compared with what is charged to the
account. Then two processes ask the same questions. Figures in bench/results/bill.json, the tables in bill.md.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.page import read_basis, write_page
from tests.support.in_thread import in_thread
from tests.support.llm_faults import fault_by
from tests.support.llm_server import LLMServer

RESULTS = Path(__file__).resolve().parent / "results"
PRICE = {"usd_per_million_input_tokens": 2.5, "usd_per_million_output_tokens": 10.0}
TROUBLES: dict[str, tuple[str, ...]] = {
    "none": (),
    "late, the client leaves": ("late",),
    "hangs after the work": ("hang",),
    "500 and 502 after the work": ("500", "502"),
    "reset or cut short after the work": ("reset", "cut_short"),
    "JSON that breaks off": ("cut", "bad_utf8"),
    "no choices, with usage": ("no_choices",),
    "all of them": ("late", "hang", "500", "502", "reset", "cut_short", "cut", "bad_utf8", "no_choices"),
}
SHARE, N, TIMEOUT_S = 0.3, 240, 1.0
WORDS = "soft light over wet stones while a calm camera follows slowly behind the old boat ".split()


class BillingServer(LLMServer):
    """Bills each question when it arrives, and looks at the account of the client just before."""

    def __init__(self, store: Path, troubles: tuple[str, ...], delay_s: float = 0.05):
        super().__init__(write, by_body=True, fault_share=SHARE if troubles else 0, faults=troubles, delay_s=delay_s)
        self.store, self.late_s = store, 3 * TIMEOUT_S
        self.bill_usd, self.most_short_usd, self.dearest_usd = 0.0, 0.0, 0.0

    async def respond(self, request: Any, body: dict[str, Any], entry: list[Any]) -> Any:
        self.most_short_usd = max(self.most_short_usd, self.bill_usd - read_charged(self.store))
        _, usage = self.answered(body)
        usd = usage["prompt_tokens"] * 2.5e-6 + usage["completion_tokens"] * 1e-5
        self.bill_usd, self.dearest_usd = self.bill_usd + usd, max(self.dearest_usd, usd)
        return await super().respond(request, body, entry)

    def latency(self, digest: bytes) -> float:
        late = fault_by(digest, self.fault_share, self.faults) == "late"
        return self.late_s if late and self.seen[digest.hex()[:16]] == 1 else self.delay_s


def write(body: dict[str, Any]) -> str:
    """Answer with 20 to 180 words, by the question."""
    number = int(body["messages"][0]["content"].split()[-1])
    return " ".join(WORDS[(number + place) % len(WORDS)] for place in range(20 + number * 37 % 160))


def read_charged(store: Path) -> float:
    """Return the US dollars on all accounts of a store; 0 before there is one."""
    try:
        with closing(sqlite3.connect(f"file:{store / 'answers.sqlite'}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute("select coalesce(sum(usd), 0) from spent").fetchone()[0]
    except sqlite3.OperationalError:
        return 0.0


CLIENT = """
import json, sys
from pathlib import Path
from bench.bill import ask_all
print(json.dumps(ask_all(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))))
"""


def ask_all(store: Path, base_url: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Ask every question; return the client's counts, why it stopped, and a hash of the answers."""
    import hashlib

    import click

    from pipeline.llm.calls.engine import Engine
    from pipeline.runtime.params_file import load_params
    from pipeline.runtime.store import Store
    from schemas.params_teacher import OpenAITeacherParams

    n = settings.pop("n", N)
    teacher = load_params(Path(__file__).resolve().parents[1] / "params.yaml").teacher.model_dump(exclude_none=True)
    params = OpenAITeacherParams(
        **teacher | {"backend": "openai", "model": "m", "base_url": base_url} | PRICE | settings
    )
    engine, stopped, answers = Engine("teacher", params, Store(store)), "", []
    bodies = [{"model": "m", "messages": [{"role": "user", "content": f"describe picture {k}"}]} for k in range(n)]
    try:
        for answer in engine.map(bodies, lambda body: engine.answer(body)):
            answers.append(answer.stored["body"]["choices"] if answer.stored else answer.why)
    except click.ClickException as fault:
        stopped = fault.message
    counts = engine.ledger.counts
    return {
        "requests": counts.requests, "answers": counts.answers, "given_up": counts.given_up, "stopped": stopped[:60],
        "digest": hashlib.sha256(json.dumps(answers).encode()).hexdigest()[:16],
    }  # fmt: skip


def start(store: Path, base_url: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a client in a process of its own."""
    environment = {**os.environ, "OPENAI_API_KEY": "sk-bench", "VPO_HOME": str(store.parent / "home")}
    command = [sys.executable, "-c", CLIENT, str(store), base_url, json.dumps(settings)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(client: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = client.communicate()
    return json.loads(out.splitlines()[-1])


@contextmanager
def serving(troubles: tuple[str, ...], **settings: Any) -> Iterator[BillingServer]:
    """Give a server that bills, beside the folder of a store."""
    with tempfile.TemporaryDirectory(prefix="vpo-bill-") as folder:
        with in_thread(BillingServer(Path(folder) / "store", troubles, **settings)) as server:
            yield server


def compare(name: str, workers: int) -> dict[str, Any]:
    """Buy under a budget of half of all questions, and compare the account with the bill."""
    mean_usd = sum(price_answer(number) for number in range(N)) / N
    budget = N / 2 * mean_usd
    with serving(TROUBLES[name]) as server:
        settings = {"max_concurrency": workers, "budget_usd": budget, "timeout_s": TIMEOUT_S, "attempts": 4}
        client = finish(start(server.store, server.base_url, settings))
        charged = read_charged(server.store)
        return {
            "troubles": name, "workers": workers, "calls": mean_usd and budget / mean_usd, **client,
            "bill": server.bill_usd / mean_usd, "charged": charged / mean_usd,
            "most_short": server.most_short_usd / server.dearest_usd,
            "short_at_end": (server.bill_usd - charged) / mean_usd,
            "beyond_budget": (server.bill_usd - budget) / mean_usd,
        }  # fmt: skip


def price_answer(number: int) -> float:
    """Return the US dollars that the endpoint bills for a question."""
    words = len(write({"messages": [{"content": f"describe picture {number}"}]}).split())
    return (4 + 3) * 2.5e-6 + (1 + words) * 1e-5


def share_questions(killed: bool) -> dict[str, Any]:
    """Let two processes ask the same 200 questions of one store; with `killed` one of them ends by kill -9."""
    with serving((), delay_s=0.2) as server:
        settings = {"n": 200, "max_concurrency": 8}
        clients, in_flight = [start(server.store, server.base_url, settings)], 0
        while len(server.log) < 20:  # else it would be chance which of the two buys, and which waits
            time.sleep(0.01)
        clients.append(start(server.store, server.base_url, settings))
        if killed:
            while len(server.log) < 100:
                time.sleep(0.01)
            in_flight = server.in_flight
            clients[0].send_signal(signal.SIGKILL)
            clients[0].wait()
            time.sleep(0.1)  # until the server has noticed
            in_flight = max(in_flight, sum(entry[2] == "gone" for entry in server.log))
        outcomes = [finish(client) for client in clients[1 if killed else 0 :]]
        requests_of = Counter(entry[1] for entry in server.log)
        return {
            "killed": killed, "requests": len(server.log), "questions": len(requests_of), "in_flight": in_flight,
            "digests": len({client["digest"] for client in outcomes}),
            "answers": [client["answers"] for client in outcomes],
            "asked_twice": sum(count - 1 for count in requests_of.values()),
        }  # fmt: skip


def kill_often(workers: int, kills: int = 10) -> dict[str, Any]:
    """End the client by kill -9 again and again, then let it finish; what is the account short of the bill?"""
    mean_usd = sum(price_answer(number) for number in range(N)) / N
    with serving((), delay_s=0.2) as server:
        in_flight = 0
        for number in range(kills):
            client = start(server.store, server.base_url, {"max_concurrency": workers})
            while len(server.log) + server.in_flight < (number + 1) * 20:
                time.sleep(0.01)
            client.send_signal(signal.SIGKILL)
            in_flight += server.in_flight
            client.wait()
        finish(start(server.store, server.base_url, {"max_concurrency": workers}))
        short = (server.bill_usd - read_charged(server.store)) / mean_usd
        return {"workers": workers, "kills": kills, "in_flight": in_flight, "short_at_end": short}


def measure() -> dict[str, Any]:
    figures: dict[str, Any] = {"budget": [], "together": [], "killed": []}
    for name in TROUBLES:
        for workers in (1, 8, 32):
            figures["budget"].append(compare(name, workers))
            print(figures["budget"][-1], flush=True)
    for killed in (False, True):
        figures["together"].append(share_questions(killed))
        print(figures["together"][-1], flush=True)
    figures["killed"] = [kill_often(8)]
    print(figures["killed"], flush=True)
    return figures


def make_table(figures: dict[str, Any]) -> str:
    budget = "".join(
        f"| {run['troubles']} | {run['workers']} | {run['requests']} | {run['given_up']} | {run['bill']:.1f} | "
        f"{run['charged']:.1f} | {run['most_short']:.1f} | {run['short_at_end']:+.1f} | {run['beyond_budget']:+.1f} |\n"
        for run in figures["budget"]
    )
    together = "".join(
        f"| {'one ends by kill -9' if run['killed'] else 'both run to the end'} | {run['questions']} | "
        f"{run['requests']} | {run['in_flight']} | {run['digests']} |\n"
        for run in figures["together"]
    )
    killed = "".join(
        f"| {run['kills']} | {run['workers']} | {run['in_flight']} | {run['short_at_end']:+.1f} |\n"
        for run in figures["killed"]
    )
    return f"""# The account and the endpoint's bill

`python -m bench.bill`: {N} questions of 20 to 180 words, {SHARE:.0%} of them with a trouble, a budget of
{N // 2} calls, a time-out of {TIMEOUT_S:g} s. The endpoint bills each request when it arrives. Sums are in calls of the
mean price; "short at most" is how far the account was below the bill at any arrival, in calls of the highest price, and
must not exceed the calls in flight.

| trouble | at once | requests | given up | bill | account | short at most | short at the end | bill beyond the budget |
|---|---|---|---|---|---|---|---|---|
{budget}
Two processes, one store, the same 200 questions:

| | questions | requests | in flight at the kill | different answers |
|---|---|---|---|---|
{together}
A client that is ended by kill -9 again and again; the next one charges what was in flight:

| kills | at once | in flight at the kills | account short of the bill at the end |
|---|---|---|---|
{killed}"""


def main() -> None:
    basis, figures = read_basis("bill"), measure()
    (RESULTS / "bill.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_page("bill", make_table(figures), basis)
    short_runs = [run for run in figures["budget"] if run["most_short"] > run["workers"] or run["short_at_end"] > 1]
    print(make_table(figures))
    sys.exit(bool(short_runs))


if __name__ == "__main__":
    main()
