"""How fast an endpoint may be asked: by given limits, by its headers, or by what it refuses.

Plain arithmetic on a clock that is handed in (seconds); the engine does the waiting. Ours: neither paper says how it
kept to its API's limits.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

BURST_S = 1.0
"""a limit given in params is spread evenly; so many seconds of it may come at once"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
"""how long everybody waits after a refusal that names no time, doubled while nothing is answered in between"""
BELOW = 0.99
"""the share of a learnt limit that is used: at exactly the limit every jitter on the way is a refusal"""
MEASURED_S, MEASURED = 2.0, 20
"""the rate that was let through is measured over so many seconds, and over at least so many requests"""
STEP_BACK = 0.97
"""the share of the measured rate to go on with after a refusal"""
DOUBLED_S, SATURATED = 0.7, 0.7
"""seconds in which the rate doubles at first; the share of a rate that must be used for a refusal to be its fault"""
LEAST_RATE = 1.0
"""requests a second; where even that is too much, pauses that double take over"""
QUICKENING = 0.003
"""growth of the rate per second, times the seconds since the last refusal: back at the limit after about 5 s"""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float | None:
    """Return the seconds of "6m0s", "20ms" or "1.5" (seconds), None for anything else."""
    text = text.strip()
    if found := _DURATION.findall(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in found)
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None


def retry_after_s(headers: Mapping[str, str], now_utc: float) -> float | None:
    """Return what Retry-After-Ms or Retry-After (seconds or an HTTP date) asks for; `now_utc` is the Unix time."""
    if (exact := headers.get("retry-after-ms")) is not None and (found := duration_s(exact)) is not None:
        return found / 1000
    told = headers.get("retry-after")
    if told is None:
        return None
    if (found := duration_s(told)) is not None:
        return found
    from email.utils import parsedate_to_datetime

    try:
        return max(parsedate_to_datetime(told).timestamp() - now_utc, 0.0)
    except ValueError:
        return None


@dataclass
class Bucket:
    """A limit per minute of one kind (requests or tokens) as a bucket that refills evenly."""

    per_minute: float
    level: float
    capacity: float
    at: float

    @classmethod
    def full(cls, per_minute: float, capacity: float, now: float) -> "Bucket":
        return cls(per_minute, max(capacity, 1.0), max(capacity, 1.0), now)

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` is there; more than the bucket ever holds waits for a full one."""
        self.refill(now)
        return max(0.0, (min(amount, self.capacity) - self.level) * 60 / self.per_minute)

    def told(self, per_minute: float, level: float, now: float) -> None:
        """Follow the server, which by its own count must now have `level` left."""
        self.at = now
        self.per_minute = per_minute
        self.level = min(level, self.capacity)


@dataclass
class Pace:
    """A rate found by trial: doubling from the first refusal to the second, then held close to the limit.

    What is let through while the server refuses some is the limit itself, so a step back ends there, and not at half.
    """

    rate: float | None = None
    since: float = 0.0
    doubling: bool = True
    next: float = 0.0
    grown: float = 0.0
    let_through: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    """when those were sent that were answered"""
    let_out: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def wait(self, now: float) -> float:
        return 0.0 if self.rate is None else max(0.0, self.next - now)

    def sent(self, now: float) -> None:
        self.let_out.append(now)
        if self.rate is not None:
            past, step = now - self.since, now - self.grown
            self.rate *= 2 ** (step / DOUBLED_S) if self.doubling else 1 + QUICKENING * past * step
            self.grown = now
            self.next = max(now, self.next) + 1 / self.rate

    def refused(self, now: float) -> None:
        if self.rate is None:
            self.rate = max(self._measured(self.let_through, now) / 2, LEAST_RATE)
        else:
            self.doubling = False
            # a refusal while hardly anything was sent has another cause than this rate
            saturated = self._measured(self.let_out, now) > SATURATED * self.rate
            most = min(self.rate, self._measured(self.let_through, now)) if saturated else self.rate
            self.rate = max(self.rate / 2, most * STEP_BACK, LEAST_RATE)
        self.since = self.grown = now
        self.next = now + 1 / self.rate

    def _measured(self, times: deque[float], now: float) -> float:
        """Return how many of `times` a second there were lately; what came last is not known yet."""
        start = now - max(MEASURED_S, MEASURED / (self.rate or 1e9))
        recent = [at for at in times if at >= start]
        return len(recent) / max(max(recent, default=start) - start, 0.5)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let out: when, for how many tokens, and what had been let out with it and before."""

    at: float
    tokens: float
    sent: dict[str, float]


class Limits:
    """All that is known of an endpoint's limits: `wait` until it is 0, then `let_out`; then say what happened."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None, now: float = 0.0):
        given = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self.given = {name: limit for name, limit in given.items() if limit}
        self.buckets = {name: Bucket.full(limit, limit * BURST_S / 60, now) for name, limit in self.given.items()}
        self.pace = Pace()
        self.paused_until = now
        self.refused_at = now - 1.0
        self.refusals = 0
        self.sent = {"requests": 0.0, "tokens": 0.0}
        self.learnt_from = now - 1.0

    def wait(self, tokens: float, now: float) -> float:
        """Return the seconds to wait before `tokens` may be asked for, 0 for at once."""
        return max(
            self.paused_until - now,
            self.pace.wait(now),
            *(bucket.wait(self._amount(name, tokens), now) for name, bucket in self.buckets.items()),
            0.0,
        )

    def let_out(self, tokens: float, now: float) -> Ticket:
        for name in self.sent:
            self.sent[name] += self._amount(name, tokens)
        for name, bucket in self.buckets.items():
            bucket.level -= self._amount(name, tokens)
        self.pace.sent(now)
        return Ticket(now, tokens, dict(self.sent))

    def answered(self, ticket: Ticket, headers: Mapping[str, str], tokens: float, now: float) -> None:
        """The request was let through and cost `tokens`."""
        self.pace.let_through.append(ticket.at)
        self.refusals = 0
        if "tokens" in self.buckets:
            self.buckets["tokens"].level += ticket.tokens - tokens
        self._learn(ticket, headers, now)

    def refused(self, ticket: Ticket, headers: Mapping[str, str], retry_after: float | None, now: float) -> None:
        """The endpoint said 429. Refusals of requests sent before the last one was known say nothing new."""
        self._learn(ticket, headers, now)
        if retry_after is not None:
            self.paused_until = max(self.paused_until, now + retry_after)
        if ticket.at <= self.refused_at:
            return
        self.refused_at = now
        self.refusals += 1
        if not self.buckets:
            self.pace.refused(now)
        if retry_after is None and self.refusals > 1:
            pause = min(FIRST_PAUSE_S * 2 ** (self.refusals - 2), LONGEST_PAUSE_S)
            self.paused_until = max(self.paused_until, now + pause)

    def _amount(self, name: str, tokens: float) -> float:
        return 1.0 if name == "requests" else tokens

    def _learn(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Take the headers' word, less what was sent after this request, plus what has flowed in since."""
        if ticket.at < self.learnt_from:
            return
        for name in ("requests", "tokens"):
            limit, remaining = (_number(headers.get(f"x-ratelimit-{what}-{name}")) for what in ("limit", "remaining"))
            if not limit or remaining is None or name in self.given:
                continue
            self.learnt_from = ticket.at
            later = self.sent[name] - ticket.sent[name]
            bucket = self.buckets.setdefault(name, Bucket(limit, 0.0, 1.0, now))
            bucket.capacity = max(bucket.capacity, remaining)
            bucket.told(limit * BELOW, remaining - later + (now - ticket.at) * limit / 60, now)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
