"""A handful of queries that are unlike each other, and splits that are as small."""

SMALL = {"sft": 4, "sft_safety": 2, "dpo": 2, "dpo_safety": 1, "test": 2, "test_safety": 1}
NONE_SAFE = dict.fromkeys(("sft_safety", "dpo_safety", "test_safety"), 0)
UNLIKE = [f"{a} near the {b} under {a}{b} clouds" for a, b in zip("abcdefghijkl", "mnopqrstuvwx", strict=True)]
