"""Faults of the room curation."""

from bench.named_faults.fault import Fault

FAULTS = [
    Fault("queries: near-duplicates cross the splits", "pipeline/curation/split.py",
          "                    index.add([place])\n", "",
          "tests/pipeline/curation/test_split.py tests/pipeline/test_queries.py"),
    Fault("rules: a query of just the most words leaves", "pipeline/curation/rules.py",
          "n_words > params.max_words", "n_words >= params.max_words"),
    Fault("rules: a query of just the least words leaves", "pipeline/curation/rules.py",
          "n_words < params.min_words", "n_words <= params.min_words"),
    Fault("rules: a query of just the most characters leaves", "pipeline/curation/rules.py",
          "Reason.TOO_LONG, characters > params.max_characters, \"characters\"",
          "Reason.TOO_LONG, characters >= params.max_characters, \"characters\""),
    Fault("rules: a share of symbols of just the most leaves", "pipeline/curation/rules.py",
          "symbols > params.max_symbol_share", "symbols >= params.max_symbol_share"),
    Fault("queries: the source's score of just the threshold nominates", "pipeline/curation/draw.py",
          "scores.fill_null(0.0) > threshold", "scores.fill_null(0.0) >= threshold"),
    Fault("queries: a query that nobody judged is no safety query", "pipeline/curation/draw.py",
          "order[~suspect[order] | harmless[order]]", "order"),
    Fault("queries: benchmark prompts stay", "pipeline/curation/benchmark_overlap.py",
          "    stays[gone] = False\n", ""),
    Fault("queries: similar queries of two splits are not counted", "pipeline/curation/benchmark_overlap.py",
          "elif other < row and splits[other] != split:", "elif other < row and splits[other] == split:"),
    Fault("queries: the wanted sizes do not count in the split that a query prefers", "pipeline/curation/split.py",
          "key=lambda name: self._wait(row, name) / wanted[name])", "key=lambda name: self._wait(row, name))"),
]  # fmt: skip
