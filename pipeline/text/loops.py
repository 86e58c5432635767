"""Which texts loop: a policy that repeats itself (ours: a mark for the eye, no row leaves for it)."""

SPAN = 4  # words; a span of fewer recurs in good prompts too ("in the background")
TIMES = 3


def has_loop(text: str) -> bool:
    """Return whether one span of SPAN words occurs TIMES times or more, without regard to case."""
    words = text.lower().split()
    counts: dict[tuple[str, ...], int] = {}
    for start in range(len(words) - SPAN + 1):
        span = tuple(words[start : start + SPAN])
        counts[span] = counts.get(span, 0) + 1
        if counts[span] == TIMES:
            return True
    return False
