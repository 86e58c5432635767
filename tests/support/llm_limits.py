"""A provider's limits: buckets of requests and tokens a minute that refill all the time, and the headers about them."""

import math


class Bucket:
    """Holds `burst_s` seconds of `per_minute`; a fraction is held too."""

    def __init__(self, per_minute: float, burst_s: float, now: float):
        self.per_minute, self.rate = per_minute, per_minute / 60
        self.size = max(1.0, self.rate * burst_s)
        self.level, self.at = self.size, now

    def wait_s(self, amount: float, now: float) -> float:
        """Return how long until `amount` is there, 0 when it is; more than the bucket holds waits for a full one."""
        self.level = min(self.size, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (min(amount, self.size) - self.level) / self.rate)

    def headers(self, of: str) -> dict[str, str]:
        return {
            f"x-ratelimit-limit-{of}": str(int(self.per_minute)),
            f"x-ratelimit-remaining-{of}": str(max(0, int(self.level))),
            f"x-ratelimit-reset-{of}": duration((self.size - self.level) / self.rate),
        }


class Limits:
    """Requests and tokens a minute, None where there is no limit.

    With `told` every response carries the x-ratelimit headers; `retry_after` names the headers of a 429:
    "ms" for retry-after-ms, "s" for Retry-After in whole seconds.
    """

    def __init__(self, requests, tokens, burst_s: float, told: bool, retry_after, now: float):
        asked = {"requests": requests, "tokens": tokens}
        self.buckets = {of: Bucket(value, burst_s, now) for of, value in asked.items() if value}
        self.told, self.retry_after = told, retry_after

    def admit(self, tokens: int, now: float) -> tuple[bool, dict[str, str]]:
        """Take one request and its tokens where there is room for both; return whether, and the headers."""
        amounts = {"requests": 1, "tokens": tokens}
        wait_s = max((bucket.wait_s(amounts[of], now) for of, bucket in self.buckets.items()), default=0.0)
        if not wait_s:
            for of, bucket in self.buckets.items():
                bucket.level -= amounts[of]
        headers = {}
        if self.told:
            for of, bucket in self.buckets.items():
                headers |= bucket.headers(of)
        if wait_s and "ms" in self.retry_after:
            headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
        if wait_s and "s" in self.retry_after:
            headers["Retry-After"] = str(math.ceil(wait_s))
        return not wait_s, headers


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers write it: 20ms, 1s, 8.64s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{round(rest, 2):g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
