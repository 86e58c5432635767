"""How alike two queries are, by definition: sim, the larger of the two sentence BLEUs, compiled in `kernels_similar`.

VPO 3.2 keeps queries diverse "with self-BLEU" and publishes neither order nor threshold; the pairwise rule is ours.
T_n(x) = max(|x| - n + 1, 0) counts the n-grams of x; M_n counts those that two texts share, each as often as it is in
both. M_n is the same in both directions and never grows with n.
"""

ORDER = 4
"""The longest n-gram: BLEU-4, as Papineni et al. 2002 and Texygen's self-BLEU."""
FLOOR = 0.1
"""A precision without a match counts 0.1 matches: NLTK's method1, sacrebleu's `floor`."""
GUARD = 1e-9
"""By how much sim may miss the threshold: exact ties such as 1/16 = 0.5^4 must not depend on the order of floats."""
