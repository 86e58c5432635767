"""How alike two queries are: the larger of the two sentence BLEUs, and the least overlap that a similar pair must have.

VPO 3.2 keeps queries diverse "with self-BLEU" and publishes neither order nor threshold; the pairwise rule is ours.
T_n(x) = max(|x| - n + 1, 0) counts the n-grams of x; M_n counts those that two texts share, each as often as it is in
both. M_n is the same in both directions and never grows with n.
"""

import functools
import math
from collections import Counter
from collections.abc import Sequence

ORDER = 4
FLOOR = 0.1  # a precision without a match counts 0.1 matches: NLTK's method1, sacrebleu's `floor`
GUARD = 1e-9  # exact ties such as 1/16 = 0.5^4 must not depend on the order of float operations


def size(n: int, length: int) -> int:
    """Return T_n of a text with `length` tokens."""
    return max(length - n + 1, 0)


def bleu(matches: Sequence[int], hypothesis: int, reference: int) -> float:
    """Return sentence BLEU from M_1..M_4 and the two lengths in tokens; 0..1.

    Order min(4, |hypothesis|): with a fixed order 4, a query of three words scores 0.56 against itself.
    """
    if not matches[0]:
        return 0.0
    order = min(ORDER, hypothesis)
    logs = sum(math.log((matches[n] or FLOOR) / (hypothesis - n)) for n in range(order))
    return math.exp(logs / order + min(0.0, 1 - reference / hypothesis))


def similarity(matches: Sequence[int], a: int, b: int) -> float:
    """Return sim = max(bleu(a, b), bleu(b, a)) from M_1..M_4 and the two lengths."""
    return max(bleu(matches, a, b), bleu(matches, b, a))


def sim(a: Sequence[str], b: Sequence[str]) -> float:
    """Return sim of two token lists: symmetric, 1 on equal lists that are not empty."""
    return similarity([shared(n, a, b) for n in range(1, ORDER + 1)], len(a), len(b))


def shared(n: int, a: Sequence[str], b: Sequence[str]) -> int:
    """Return M_n of two token lists."""
    grams = [Counter(tuple(text[i : i + n]) for i in range(size(n, len(text)))) for text in (a, b)]
    return (grams[0] & grams[1]).total()


@functools.cache
def need(n: int, a: int, b: int, threshold: float) -> int:
    """Return the least M_n that texts of `a` and `b` tokens can have and be similar; T_n + 1 where none is enough.

    sim grows with every M, and M_j <= M_n for j >= n; so sim with all smaller orders at their largest bounds it.
    """
    shorter = min(a, b)
    most = [size(order, shorter) for order in range(1, ORDER + 1)]

    def enough(matches: int) -> bool:
        best = [full if order < n else min(matches, full) for order, full in enumerate(most, 1)]
        return similarity(best, a, b) >= threshold - 2 * GUARD

    low, high = 0, most[n - 1] + 1
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


@functools.cache
def prefix(a: int, threshold: float) -> tuple[int, int]:
    """Return (n, least M_n) for the highest n of which a text of `a` tokens shares some with every similar text.

    Similar lengths form a window around `a`: outside, even containing the shorter text whole is not enough.
    """
    for n in range(min(ORDER, a), 1, -1):
        least = min(need(n, a, b, threshold) for b in window(a, threshold))
        if least > 0:
            return n, least
    return 1, max(1, min(need(1, a, b, threshold) for b in window(a, threshold)))


@functools.cache
def window(a: int, threshold: float) -> range:
    """Return the lengths that a text similar to one of `a` tokens can have."""

    def possible(b: int) -> bool:
        shorter = min(a, b)
        return similarity([size(n, shorter) for n in range(1, ORDER + 1)], a, b) >= threshold - 2 * GUARD

    low = high = a
    while low > 1 and possible(low - 1):
        low -= 1
    while possible(high + 1):
        high += 1
    return range(low, high + 1)
