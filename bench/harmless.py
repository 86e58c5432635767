"""How often the laptop's DPO loses a prompt, by recipe: `python -m bench.harmless --folder FOLDER --seeds 1 2 3`.

Runs the graph in a clone for each seed, all with one $VPO_HOME; what stands before DPO is made once, a recipe runs DPO
and its evaluation anew. --samples also draws K prompts of each test query, for four times as many queries cost more.
What a run gave stays in FOLDER with the code that it stands on; the page, bench/results/harmless.md, reports runs of
one code alone, and beside a recipe that was tried the commit at which it was. The recipe was chosen on seeds 1 to 3 and
is reported on 11 to 15 (`--seeds 11 12 13 14 15 --recipes one_pair_beta`).
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.page import Basis, hash_code, read_basis, read_record, write_page
from bench.project import clone, read_values, repro, set_params
from pipeline.evaluation.serving import REFUSALS
from pipeline.evaluation.statistics import mean_with_interval

TUNED_ON, REPORTED_ON = (1, 2, 3, 4, 5), (11, 12, 13, 14, 15)
MARGIN = 0.02
"""DPO may lose so many more prompts than SFT, as a share of all queries."""
CHOSEN = "one_pair_beta"
ARMS = {
    "original": {"prompts": "query", "source": "data/queries/test.jsonl"},
    "sft": {"prompts": "policy", "source": "data/models/sft"},
    "dpo": {"prompts": "policy", "source": "data/models/dpo"},
}
EVERYWHERE = {"dpo.arms": {}, "dpo.unchecked": {}, "evaluate.arms": ARMS, "evaluate.versus": [["dpo", "sft"]]}
ALL_PAIRS = {
    "dpo.pairs_per_query": None, "dpo.when_both": "both", "dpo.train.beta": 0.1, "dpo.train.learning_rate": 1.4e-4,
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "all_pairs": {},
    "one_pair": {"dpo.pairs_per_query": 1},
    "one_pair_half_rate": {"dpo.pairs_per_query": 1, "dpo.train.learning_rate": 7.0e-5},
    "one_pair_video_first": {"dpo.pairs_per_query": 1, "dpo.when_both": "video"},
    "one_pair_beta": {"dpo.pairs_per_query": 1, "dpo.train.beta": 0.3},
    "one_pair_beta_video_first": {"dpo.pairs_per_query": 1, "dpo.train.beta": 0.3, "dpo.when_both": "video"},
}
"""name -> how a recipe departs from ALL_PAIRS: the paper's pairs (VPO 3.3) and beta at the laptop's rate"""
KEPT = ("failed", "reward", "unsafe", "unsafe_written", "aligned")

ABOVE = """# DPO that loses few prompts

Offline teacher, judge, generator and reward: these figures test the wiring and are not comparable with published ones.

A prompt is lost where the policy writes nothing usable: a text without an end, nearly always a loop, or broken
characters. The query is then served in its place, or nothing where the safety rule flags it. SFT loses some; DPO by all
pairs at beta 0.1 loses more. Text pairs may teach it: a refined winner often has more words than the loser, for it
repeats what of the query was left out. DPO so learns to go on copying where SFT ended its sentence, and half a million
weights that go on copying come to copy themselves. A larger beta stops pushing a pair once its margin is wide.

## The recipes, on the seeds that one was chosen on

*Failed*: one prompt a query, 150 queries a seed, as the evaluation has it; *of all samples*: four prompts a query,
which tells more; at commit 54a9727 refusals were among the lost. The other columns are dpo - sft over the queries of
all seeds [95 % bootstrap over queries], bold where the interval excludes 0; shares in points; reward over all general
queries, a lost prompt served as its query.

| name | departs from all pairs at beta 0.1 and rate 1.4e-4 by |
|---|---|
| `one_pair` | `dpo.pairs_per_query: 1`: one pair a query and feedback, as the authors' code has it |
| `one_pair_half_rate` | that, and half the rate |
| `one_pair_video_first` | one pair, and `dpo.when_both: video`: a query with both kinds keeps its video pair alone |
| `one_pair_beta` | one pair, and beta 0.3: **chosen** |
| `one_pair_beta_video_first` | one pair, beta 0.3 and `dpo.when_both: video` |
""".splitlines()
BETWEEN = """
Not every recipe ran on every seed; the commit tells which code a run is of. `one_pair_beta` was chosen: of all samples
it loses least but for `one_pair_beta_video_first`, which gains more reward, but drops a third of the text pairs and
what they do for `aligned`; it keeps the union of both feedbacks.

Tried besides, at one of those commits, and not built: lost rollouts as losers, against a sibling that passed, one pair
and beta 0.3 (19 to 28 such pairs a seed): 4.8, 6.8 and 7.0 % of all samples are lost at seeds 1, 2 and 3, which 600
samples cannot tell from `one_pair_beta`. A base model that also practises to go on after a repetition: SFT then loses
5.3 % of all samples at seed 1, where it loses 4.2 %.

## The chosen recipe, on seeds that no choice has seen

dpo - sft [95 % bootstrap over queries]; shares in percent and points.
""".splitlines()

Run = dict[str, Any]
"""`values`: arm -> metric -> query_id -> value; `pairs`: source -> how many; `commit`; `code`: what hash_code gives"""


def was_run(file: Path, basis: Basis) -> bool:
    """Return whether `file` holds a run of this very code."""
    return file.exists() and json.loads(file.read_text()).get("code") == hash_code(basis)


def keep(file: Path, run: Run, basis: Basis) -> None:
    """Write what a run gave, with the code that it stands on."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({**run, "commit": basis["commit"], "code": hash_code(basis)}))


def run_recipe(name: str, seed: int, folder: Path, basis: Basis) -> None:
    """Run the graph of one recipe and seed, and keep its values and pairs in FOLDER/values."""
    kept = folder / "values" / f"{name}-{seed}.json"
    if was_run(kept, basis):
        return
    path = open_clone(name, seed, folder, basis)
    spent, _ = repro(path, folder / "home", "evaluate")
    values, _ = read_values(path)
    of_arms = {arm: {metric: dict(values[arm][metric]) for metric in KEPT} for arm in ARMS}
    sources = [json.loads(line)["source"] for line in (path / "data/dpo/d_dpo.jsonl").read_text().splitlines()]
    run = {"values": of_arms, "pairs": {source: sources.count(source) for source in ("text", "video")}}
    keep(kept, run, basis)
    print(f"{name}, seed {seed}, {spent:.0f} CPU s: {describe_run(run)}", flush=True)


def open_clone(name: str, seed: int, folder: Path, basis: Basis) -> Path:
    """Return the clone of this code for a seed, with the recipe's params."""
    path = folder / f"seed-{seed}-{hash_code(basis)}"
    if not path.exists():
        clone(path)
    set_params(path, {"base.seed": seed, **EVERYWHERE, **ALL_PAIRS, **RECIPES[name]})
    return path


def sample_recipe(name: str, seed: int, folder: Path, basis: Basis) -> None:
    """Draw K prompts of each test query from a recipe's policy and from the SFT model; keep how many are lost."""
    for model, kept in (("sft", f"sft-{seed}"), ("dpo", f"{name}-{seed}")):
        file = folder / "samples" / f"{kept}.json"
        if not was_run(file, basis):
            path = open_clone(name, seed, folder, basis)
            repro(path, folder / "home", model)
            keep(file, count_lost(path / "data/models" / model, path), basis)


def count_lost(model: Path, path: Path) -> dict[str, int]:
    """Return how many samples of the test queries a policy writes as one is served, and how many of them are lost.

    A refusal is no loss, as in the evaluation.
    """
    from pipeline.backends.policy import make_policy
    from pipeline.rollout import rollout
    from pipeline.runtime.io import read_rows
    from pipeline.runtime.params_file import load_params
    from schemas.base import Dropped
    from schemas.queries import Query

    params = load_params(path / "params.yaml")
    queries = list(read_rows(path / "data/queries/test.jsonl", Query))
    policy = make_policy(model, params.policy)
    items = list(rollout(queries, policy, "dpo", params.rollout.k, params.optimize, params.base.seed))
    lost = [item for item in items if isinstance(item, Dropped) and item.reason not in REFUSALS]
    return {"n_samples": len(items), "lost": len(lost)}


def read_runs(folder: Path, name: str, seeds: Iterable[int], code: str | None = None) -> dict[int, Run]:
    """Return seed -> run of a recipe, for those of the seeds that were run: on this code, or None for any."""
    files = {seed: folder / "values" / f"{name}-{seed}.json" for seed in seeds}
    runs = {seed: json.loads(file.read_text()) for seed, file in files.items() if file.exists()}
    return {seed: run for seed, run in runs.items() if code is None or run.get("code") == code}


def read_lost(folder: Path, name: str, seed: int) -> float | None:
    """Return the share of samples that were lost, None where none were drawn; `name` is a recipe or sft."""
    file = folder / "samples" / f"{name}-{seed}.json"
    if not file.exists():
        return None
    counts = json.loads(file.read_text())
    return float(counts["lost"] / counts["n_samples"])


def compare(runs: Iterable[Run], metric: str) -> tuple[float, float, float]:
    """Return dpo - sft over the queries of all runs, with the ends of its 95 % interval (bootstrap over queries)."""
    arms = [(run["values"]["dpo"][metric], run["values"]["sft"][metric]) for run in runs]
    return mean_with_interval([dpo[query] - sft[query] for dpo, sft in arms for query in dpo if query in sft], 2000, 0)


def mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


def describe_run(run: Run) -> str:
    lost = [f"{mean(run['values'][arm]['failed']) * 100:.1f}" for arm in ("sft", "dpo")]
    return f"failed {' -> '.join(lost)}, reward {show(compare([run], 'reward'))}"


def show(interval: tuple[float, float, float], scale: int = 1) -> str:
    value, low, high = (number * scale for number in interval)
    digits = 2 if scale == 1 else 1
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def tabulate_recipes(folder: Path) -> list[str]:
    """Return the table of the recipes on the seeds that one was chosen on."""
    lines = [
        "| recipe | seeds | pairs: text, video | failed by seed: sft -> dpo | failed | of all samples: sft -> dpo "
        "| reward | unsafe | aligned | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in RECIPES:
        if not (runs := read_runs(folder, name, TUNED_ON)):
            continue
        pairs = [
            f"{mean({str(s): run['pairs'][source] for s, run in runs.items()}):.0f}" for source in ("text", "video")
        ]
        failed = "; ".join(
            f"{mean(run['values']['sft']['failed']) * 100:.1f} -> {mean(run['values']['dpo']['failed']) * 100:.1f}"
            for run in runs.values()
        )
        lost = [(read_lost(folder, "sft", seed), read_lost(folder, name, seed)) for seed in runs]
        sampled = "; ".join(f"{sft * 100:.1f} -> {dpo * 100:.1f}" for sft, dpo in lost if None not in (sft, dpo))
        pooled = [show(compare(runs.values(), metric), 100) for metric in ("failed", "unsafe", "aligned")]
        lines.append(
            f"| `{name}` | {' '.join(map(str, runs))} | {', '.join(pairs)} | {failed} | {pooled[0]} | {sampled or '-'} "
            f"| {show(compare(runs.values(), 'reward'))} | {pooled[1]} | {pooled[2]} "
            f"| {', '.join(sorted({run['commit'] for run in runs.values()}))} |"
        )
    return lines


def tabulate_seeds(folder: Path, code: str) -> list[str]:
    """Return the table of the chosen recipe on the seeds that it is reported on, of runs of this code alone."""
    runs = read_runs(folder, CHOSEN, REPORTED_ON, code)
    lines = [
        "| seed | failed: sft | failed: dpo | difference | reward | unsafe | aligned |",
        "|---|---|---|---|---|---|---|",
    ]
    before = list(read_runs(folder, "all_pairs", REPORTED_ON, code).values())
    groups = [*((str(seed), [run]) for seed, run in runs.items()), ("all", list(runs.values()))]
    for name, some in [*groups, (f"all, `all_pairs` ({len(before)} seeds)", before)]:
        if some:
            lost = [sum(mean(run["values"][arm]["failed"]) for run in some) / len(some) * 100 for arm in ("sft", "dpo")]
            shares = [show(compare(some, metric), 100) for metric in ("failed", "unsafe", "aligned")]
            cells = [name, *(f"{share:.1f}" for share in lost), shares[0], show(compare(some, "reward")), *shares[1:]]
            lines.append(f"| {' | '.join(cells)} |")
    if not runs:
        return lines
    by_seed = [compare([run], "failed")[0] for run in runs.values()]
    failed, reward = compare(runs.values(), "failed")[0], compare(runs.values(), "reward")
    held = failed <= MARGIN and reward[1] > 0
    above = "above" if reward[1] > 0 else "not above"
    verdict = (
        f"Over these {len(runs)} seeds failures change by {failed * 100:+.1f} points, where +{MARGIN * 100:.0f} are "
        f"allowed, and reward by {reward[0]:+.2f}, its interval {above} 0: "
        f"{'the recipe holds' if held else '**the recipe does not hold**'}. Of single seeds "
        f"{sum(one <= MARGIN + 1e-9 for one in by_seed)} of {len(runs)} stay within the margin; one prompt for each of "
        "150 queries tells a seed's difference to about two points."
    )
    return [*lines, "", verdict]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="What a run gave stays here; none is made twice.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=[*RECIPES])
    parser.add_argument("--samples", action="store_true", help="Count what is lost of K samples a query too.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # a page that is only written anew stands on what its runs stood on
    basis = read_basis("harmless") if options.seeds else read_record("harmless")
    for seed in options.seeds:
        for name in options.recipes:
            run_recipe(name, seed, options.folder, basis)
            if options.samples:
                sample_recipe(name, seed, options.folder, basis)
    reported = tabulate_seeds(options.folder, hash_code(basis))
    lines = [*ABOVE, "", *tabulate_recipes(options.folder), *BETWEEN, "", *reported]
    write_page("harmless", "\n".join(lines) + "\n", basis)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
