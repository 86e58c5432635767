"""How alike two queries are: the larger of the two sentence BLEUs.

VPO 3.2 keeps queries diverse "with self-BLEU" and publishes neither order nor threshold; the pairwise rule is ours.
T_n(x) = max(|x| - n + 1, 0) counts the n-grams of x; M_n counts those that two texts share, each as often as it is in
both. M_n is the same in both directions and never grows with n.
"""

from collections import Counter
from collections.abc import Sequence

ORDER = 4
FLOOR = 0.1
"""A precision without a match counts 0.1 matches: NLTK's method1, sacrebleu's `floor`."""
GUARD = 1e-9
"""What a sim may lack of the threshold: exact ties such as 1/16 = 0.5^4 must not depend on the order of floats."""


def sim(a: Sequence[str], b: Sequence[str]) -> float:
    """Return sim of two token lists: symmetric, 1 on equal lists that are not empty."""
    import numpy as np

    from pipeline.curation import kernels_similar

    matches = np.array([shared(n, a, b) for n in range(1, ORDER + 1)])
    return kernels_similar.similarity(matches, len(a), len(b))


def shared(n: int, a: Sequence[str], b: Sequence[str]) -> int:
    """Return M_n of two token lists."""
    grams = [Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for text in (a, b)]
    return (grams[0] & grams[1]).total()
