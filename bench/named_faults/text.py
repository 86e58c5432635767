"""Faults of the room text."""

from bench.named_faults.fault import Fault

FAULTS = [
    Fault("preference: equal scores are a preference", "pipeline/text/preference.py",
          "if pair.score_chosen > pair.score_rejected:", "if pair.score_chosen >= pair.score_rejected:"),
    Fault("preference: a pair that comes again stays", "pipeline/text/preference.py",
          "elif (of, chosen, rejected) in kept:", "elif False:"),
    Fault("shortcuts: ties count as wins", "pipeline/text/shortcuts.py",
          'np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")',
          'np.searchsorted(low, high, "right") + np.searchsorted(low, high, "right")'),
    Fault("shortcuts: a pair is scored by what was fitted to it", "pipeline/text/shortcuts.py",
          "np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)",
          "np.flatnonzero(folds >= 0), np.flatnonzero(folds == fold)"),
    Fault("shortcuts: folds part a query's pairs", "pipeline/text/shortcuts.py",
          "folds = np.array([fold_of[pair.query_id] for pair in pairs])",
          "folds = np.arange(len(pairs)) % n_folds"),
    Fault("balance: the frequent sign is kept whole", "pipeline/text/balance.py",
          "rare, frequent = sorted(signs.values(), key=len)", "frequent, rare = sorted(signs.values(), key=len)"),
]  # fmt: skip
