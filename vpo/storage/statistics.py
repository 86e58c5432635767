"""What the store holds, counted: a pass over its answers, its accounts and its files."""

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field

from pipeline.llm.calls.answers import read_answers, read_usage
from pipeline.runtime.store import Store


@dataclass
class Group:
    """The answers of one kind, host and model."""

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    n_bytes: int = 0
    oldest: str = ""
    newest: str = ""
    latencies: array = field(default_factory=lambda: array("d"))
    outcomes: Counter = field(default_factory=Counter)

    def add(self, answer: str, n_bytes: int, when: str) -> None:
        self.answers += 1
        self.n_bytes += n_bytes
        self.oldest, self.newest = min(self.oldest or when, when), max(self.newest, when)
        stored = json.loads(answer)
        if not isinstance(stored, dict) or "status" not in stored:  # made here, not asked for
            return
        tokens = read_usage(stored["body"]) or (0, 0)
        self.input_tokens += tokens[0]
        self.output_tokens += tokens[1]
        self.latencies.append(stored.get("latency_s") or 0.0)
        self.outcomes.update(answer.reason.value if answer.reason else "ok" for answer in read_answers(stored))


def statistics(store: Store) -> list[dict]:
    """Return one row for each kind, host and model; seconds, bytes, US dollars (null where no account is known)."""
    groups: dict[tuple[str, str, str], Group] = {}
    rows = store.connection.execute(
        "select kind, coalesce(json_extract(request, '$.host'), ''), "
        "coalesce(json_extract(request, '$.body.model'), ''), answer, length(cast(request as blob)) + "
        "length(cast(answer as blob)), at from answers"
    )
    for kind, host, model, answer, n_bytes, when in rows:
        groups.setdefault((kind, host, model), Group()).add(answer, n_bytes, when)
    charged = accounts(store)
    return [_row(*name, group, charged) for name, group in sorted(groups.items())]


def _row(kind: str, host: str, model: str, group: Group, charged: list[dict]) -> dict:
    paid = [row["usd"] for row in charged if (row["host"], row["model"]) == (host, model)]
    usd = sum(paid) if paid and kind not in ("clip", "score", "price") else None
    latencies = sorted(group.latencies)
    return {
        "kind": kind,
        "host": host,
        "model": model,
        "answers": group.answers,
        "input_tokens": group.input_tokens,
        "output_tokens": group.output_tokens,
        "usd": usd,
        "usd_per_1000": usd / group.answers * 1000 if usd is not None else None,
        "median_s": latencies[len(latencies) // 2] if latencies else None,
        "p95_s": latencies[int(0.95 * len(latencies))] if latencies else None,
        "outcomes": dict(sorted(group.outcomes.items())),
        "bytes": group.n_bytes,
        "oldest": group.oldest,
        "newest": group.newest,
    }


def accounts(store: Store) -> list[dict]:
    """Return what each project has spent on each model; an account's name is `project host model`."""
    hosts = {row[0] for row in store.connection.execute("select distinct json_extract(request, '$.host') from answers")}
    rows = []
    for account, *charge in store.connection.execute("select * from spent order by account"):
        project, host, model = split_account(account, hosts)
        rows.append({"project": project, "host": host, "model": model} | dict(zip(CHARGE, charge, strict=True)))
    return rows


CHARGE = ("requests", "input_tokens", "output_tokens", "usd")


def split_account(account: str, hosts: set[str | None]) -> tuple[str, str, str]:
    """Return (project, host, model) of an account's name; a folder may hold spaces, so a known host divides it."""
    words = account.split(" ")
    place = next((number for number in range(len(words) - 1, 0, -1) if words[number] in hosts), max(len(words) - 2, 0))
    return " ".join(words[:place]), words[place], " ".join(words[place + 1 :])


def files(store: Store) -> list[dict]:
    """Return count and bytes of the files beside the answers, by suffix."""
    counts: Counter = Counter()
    n_bytes: Counter = Counter()
    for path in (store.root / "files").glob("*/*"):
        if path.is_file():
            counts[path.suffix] += 1
            n_bytes[path.suffix] += path.stat().st_size
    return [{"suffix": suffix, "files": counts[suffix], "bytes": n_bytes[suffix]} for suffix in sorted(counts)]
