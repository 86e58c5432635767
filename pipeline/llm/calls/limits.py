"""How fast an endpoint may be asked: by given limits, by its headers, or by what it refuses.

Plain arithmetic on a clock that is handed in (seconds); `direct` does the waiting. Ours: neither paper says how it
kept to its API's limits.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

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
LATELY, MANY, TOO_MANY = 32, 4, 6
"""of so many requests that ended last so many refused are too many: for doubling on, and to be strays"""
LOWEST, DOUBT, TRUST = 0.9, 0.99, 1.00015
"""how far below the limit strays can bring the rate; how each refusal and answer moves it: in balance at 1.5 %"""
DOUBLED_S = 0.7
"""seconds in which the rate doubles at first"""
LEAST_RATE = 1.0
"""requests a second; where even that is too much, pauses that double take over"""
QUICKENING = 0.003
"""growth of the rate per second, times the seconds since the last refusal: back at the limit after about 5 s"""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float | None:
    """Return the seconds of "6m0s", "20ms" or "1.5" (seconds), None for anything else."""
    text = text.strip()
    if parts := _DURATION.findall(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return max(seconds, 0.0) if isfinite(seconds) else None


def retry_after_s(headers: Mapping[str, str], now_utc: float) -> float | None:
    """Return what Retry-After-Ms or Retry-After (seconds or an HTTP date) asks for; `now_utc` is the Unix time."""
    if (exact := headers.get("retry-after-ms")) is not None and (milliseconds := duration_s(exact)) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    if (seconds := duration_s(text)) is not None:
        return seconds
    from email.utils import parsedate_to_datetime

    try:
        return max(parsedate_to_datetime(text).timestamp() - now_utc, 0.0)
    except (ValueError, OverflowError):
        return None


@dataclass
class Bucket:
    """A limit per minute of one kind (requests or tokens) as a bucket that refills evenly."""

    per_minute: float
    level: float
    capacity: float
    as_of: float
    """the clock's seconds at which `level` held"""

    @classmethod
    def full(cls, per_minute: float, capacity: float, now: float) -> "Bucket":
        return cls(per_minute, max(capacity, 1.0), max(capacity, 1.0), now)

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` is there; a request over one minute's quota waits one minute."""
        amount = min(amount, self.per_minute)
        self.level = min(max(self.capacity, amount), self.level + (now - self.as_of) * self.per_minute / 60)
        self.as_of = now
        return max(0.0, (amount - self.level) * 60 / self.per_minute)

    def follow(self, per_minute: float, level: float, now: float) -> None:
        """Follow the server, which by its own count must now have `level` left."""
        self.as_of = now
        self.per_minute = per_minute
        self.level = min(level, self.capacity)


@dataclass
class Pace:
    """A rate found by trial: doubling once it was clearly too much, then held close to what was let through.

    A stray refusal says little: many endpoints refuse some requests whatever the rate. Many at once say that the rate
    is too high, and what is let through meanwhile is the limit itself, so a step back ends there and not at half.
    """

    rate: float | None = None
    measured_rate: float = 0.0
    limit: float = 0.0
    since: float = 0.0
    doubling: bool = True
    next: float = 0.0
    grown: float = 0.0
    let_through: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    """when those were sent that were answered"""
    outcomes: deque[bool] = field(default_factory=lambda: deque(maxlen=LATELY))
    """whether the last ones were let through"""

    def wait_s(self, now: float) -> float:
        return 0.0 if self.rate is None else max(0.0, self.next - now)

    def note_request(self, now: float) -> None:
        if self.rate is not None:
            past, step = now - self.since, now - self.grown
            self.rate *= 2 ** (step / DOUBLED_S) if self.doubling else 1 + QUICKENING * past * step
            self.grown = now
            self.next = max(now, self.next) + 1 / self.rate

    def note_answer(self, sent_at: float) -> None:
        self.let_through.append(sent_at)
        self.outcomes.append(True)
        self.limit = min(self.limit * TRUST, self.measured_rate)

    def note_refusal(self, now: float) -> None:
        """Step back: to what was let through when many were refused lately, else a little, and not far below that."""
        lately = self.outcomes.count(False)
        if self.rate is None:
            if lately < TOO_MANY:
                return
            self.rate = max(self._measure_rate(now) / 2, LEAST_RATE)
        elif lately >= (MANY if self.doubling else TOO_MANY):
            least = self.rate / 3 if self.doubling else self.rate / 2
            # while it doubled, the server's burst was let through too
            share = 0.9 if self.doubling else 1.0
            self.limit = self.measured_rate = max(min(self.rate, self._measure_rate(now)) * share, least)
            self.doubling = False
            self.rate = max(self.limit * STEP_BACK, LEAST_RATE)
        elif not self.doubling:
            self.limit *= DOUBT
            self.rate = max(self.rate * STEP_BACK, self.limit * LOWEST, LEAST_RATE)
        self.since = self.grown = now
        self.next = now + 1 / self.rate

    def _measure_rate(self, now: float) -> float:
        """Return how many a second were let through lately; what was sent last is not known yet."""
        start = now - max(MEASURED_S, MEASURED / (self.rate or 1e9))
        recent = [sent_at for sent_at in self.let_through if sent_at >= start]
        return len(recent) / max(max(recent, default=start) - start, 0.5)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let out: when, for how many tokens, and what had been let out with it and before."""

    sent_at: float
    tokens: float
    sent: dict[str, float]


class Limits:
    """All that is known of an endpoint's limits: wait until `wait_s` is 0, then `let_out`; then say what happened."""

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

    def wait_s(self, tokens: float, now: float) -> float:
        """Return the seconds to wait before `tokens` may be asked for, 0 for at once."""
        return max(
            self.paused_until - now,
            self.pace.wait_s(now),
            *(bucket.wait_s(self._amount(name, tokens), now) for name, bucket in self.buckets.items()),
            0.0,
        )

    def let_out(self, tokens: float, now: float) -> Ticket:
        """Count a request that is sent now and is expected to cost `tokens`."""
        for name in self.sent:
            self.sent[name] += self._amount(name, tokens)
        for name, bucket in self.buckets.items():
            bucket.level -= self._amount(name, tokens)
        self.pace.note_request(now)
        return Ticket(now, tokens, dict(self.sent))

    def note_answer(self, ticket: Ticket, headers: Mapping[str, str], tokens: float, now: float) -> None:
        """The request was let through and cost `tokens`."""
        self.pace.note_answer(ticket.sent_at)
        self.refusals = 0
        if "tokens" in self.buckets:
            self.buckets["tokens"].level += ticket.tokens - tokens
        self._learn(ticket, headers, now)

    def note_refusal(self, ticket: Ticket, headers: Mapping[str, str], retry_after: float | None, now: float) -> None:
        """The endpoint said 429. Refusals of requests sent before the last one was known say nothing new."""
        self.pace.outcomes.append(False)
        self._learn(ticket, headers, now)
        if retry_after is not None:
            self.paused_until = max(self.paused_until, now + retry_after)
        # a header that says how much is left tells the rate; a limit given in params may be too high
        is_learnt_limit = any(
            bucket.level < self._amount(name, ticket.tokens)
            for name, bucket in self.buckets.items()
            if name not in self.given
        )
        if ticket.sent_at <= self.refused_at and (is_learnt_limit or self.pace.rate is not None):
            return
        self.refused_at = now
        self.refusals += 1
        if not is_learnt_limit:
            self.pace.note_refusal(now)
        if retry_after is None and self.refusals > 1:
            pause = min(FIRST_PAUSE_S * 2 ** (self.refusals - 2), LONGEST_PAUSE_S)
            self.paused_until = max(self.paused_until, now + pause)

    def _amount(self, name: str, tokens: float) -> float:
        return 1.0 if name == "requests" else tokens

    def _learn(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Take the headers' word, less what was sent after this request, plus what has flowed in since."""
        if ticket.sent_at < self.learnt_from:
            return
        for name in ("requests", "tokens"):
            limit, remaining = (_number(headers.get(f"x-ratelimit-{what}-{name}")) for what in ("limit", "remaining"))
            if not limit or remaining is None or name in self.given:
                continue
            self.learnt_from = ticket.sent_at
            later = self.sent[name] - ticket.sent[name]
            bucket = self.buckets.setdefault(name, Bucket(limit, 0.0, 1.0, now))
            bucket.capacity = max(bucket.capacity, remaining)
            # half a request less: the header was written a little later than the request was sent
            level = remaining - later - self._amount(name, ticket.tokens) / 2
            bucket.follow(limit * BELOW, level + (now - ticket.sent_at) * limit / 60, now)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
