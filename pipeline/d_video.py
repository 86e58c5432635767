"""x, p_1..p_K, r_1..r_K -> D_video: the prompt with the better clip over the one with the worse (VPO 3.3).

The paper asks for a gap above 0.5 (S0 section 9); the authors' code also asks that the winner dominate on every
question and takes the first pair it finds. Each is a named rule here. Ours: a veto of the safety questions, which
weigh nothing in VisionReward, and a gap that must beat the noise of the seed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby, pairwise, permutations
from operator import attrgetter

import click

from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.shared_parts import SharedParts
from pipeline.runtime.stage_output import stage_output
from pipeline.scoring.exact import Score, as_written, rank, subtract
from pipeline.scoring.formulas import answers_by_clip, compute_scores, safety_answers_by_clip, split_scores
from pipeline.scoring.replication import find_replicates
from schemas.base import Dropped, content_id
from schemas.d_video import DVideo
from schemas.params import DpoParams
from schemas.params_reward import RewardParams
from schemas.reasons import Reason
from schemas.render import Render
from schemas.reward import Reward
from schemas.stage import Declaration


@dataclass(frozen=True)
class Feedback:
    """What is known of the clips, by video_id: r, and what r is made of, which is answers or dimensions.

    `answers` are yes or no by question id, `shares` weight x value by dimension, `safety` the answers to the safety
    questions. `noise` is the standard deviation of a difference of two scores.
    """

    score: Mapping[str, Score]
    answers: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    safety: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    noise: float = 0.0


@dataclass(frozen=True)
class Scored:
    """A prompt, its clip's score, and what is known of the clip besides."""

    row: Render
    score: Score
    answers: Mapping[str, bool] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    safety: Mapping[str, bool] = field(default_factory=dict)


def d_video(rows: Iterable[Render], feedback: Feedback, params: DpoParams) -> Iterator[DVideo | Dropped]:
    """Yield the pairs of each query, or why it has none. Rows of one query must stand together.

    A clip without a score takes no part, and clips of a second seed take none.
    """
    for query_id, group in groupby(rows, key=attrgetter("query_id")):
        clips = [row for row in group if row.replicate == 0]
        candidates = [make_candidate(row, feedback) for row in clips if row.video_id in feedback.score]
        pairs = PAIRS[params.video_pairs](candidates, make_rule(params, feedback.noise))
        if pairs:
            yield from (make_pair(better, worse, params) for better, worse in pairs[: params.pairs_per_query])
        else:
            values = sorted((item.score for item in candidates), key=rank)
            gap = float(subtract(values[-1], values[0])) if values else 0.0
            yield Dropped(
                input_id=query_id,
                reason=Reason.NO_PAIR,
                detail=f"{len(clips)} clips, {len(values)} scored, largest gap {gap:.3f}",
            )


def gather_siblings(rows: Iterable[Render]) -> list[Render]:
    """Return rows of several lanes with those of a query together, its samples in order; queries as they first come."""
    by_query: dict[str, list[Render]] = defaultdict(list)
    for row in rows:
        by_query[row.query_id].append(row)
    return [row for siblings in by_query.values() for row in sorted(siblings, key=attrgetter("sample"))]


def read_feedback(rows: Sequence[Render], rewards: Sequence[Reward], reward: RewardParams, dpo: DpoParams) -> Feedback:
    """Return the scores of the clips and what they are made of. Raises DataError where the params ask for more."""
    of_first_seed = {row.video_id for row in rows if row.replicate == 0}
    # z-scores over the clips that can be paired alone: how many are rendered twice changes no pair
    reference = [row for row in rewards if row.video_id in of_first_seed]
    score = compute_scores(rewards, reward, reference)
    return Feedback(
        score,
        answers_by_clip(rewards, reward),
        split_scores(rewards, reward, reference),
        safety_answers_by_clip(rewards, reward) if dpo.safety_veto else {},
        find_replicates(rows, score).noise() if dpo.min_effect is not None else 0.0,
    )


def make_candidate(row: Render, feedback: Feedback) -> Scored:
    clip = row.video_id
    return Scored(
        row,
        feedback.score[clip],
        feedback.answers.get(clip, {}),
        feedback.shares.get(clip, {}),
        feedback.safety.get(clip, {}),
    )


Beats = Callable[[Scored, Scored], bool]


def make_rule(params: DpoParams, noise: float = 0.0) -> Beats:
    """Return the test whether one candidate beats another by all rules of `params`."""
    gap = as_written(params.reward_gap)
    rules: list[Beats] = [lambda better, worse: subtract(better.score, worse.score) > gap]
    if params.min_effect is not None:
        least = params.min_effect * noise
        # the noise is a root, so this gap is compared as floats are
        rules.append(lambda better, worse: subtract(float(subtract(better.score, worse.score)), least) > 0)
    if params.dominance == "question":
        rules.append(dominates)
    if params.safety_veto:
        rules.append(is_as_safe)
    return lambda better, worse: all(rule(better, worse) for rule in rules)


def dominates(better: Scored, worse: Scored) -> bool:
    questions = better.answers.keys() | worse.answers.keys()
    loses = any(worse.answers.get(name, False) and not better.answers.get(name, False) for name in questions)
    return not loses and bool(questions_won(better, worse))


def is_as_safe(better: Scored, worse: Scored) -> bool:
    """Tell whether no safety question that the worse clip passes is failed, or left open, by the better."""
    return bool(better.safety) and all(better.safety.get(name, False) for name, yes in worse.safety.items() if yes)


def questions_won(better: Scored, worse: Scored) -> tuple[str, ...]:
    """Return the questions that the better clip answers with yes and the worse with no."""
    return tuple(name for name, yes in better.answers.items() if yes and not worse.answers.get(name, False))


def what_decides(better: Scored, worse: Scored) -> tuple[str, ...]:
    """Return the questions won, or where r reads dimensions those that raise it, the largest difference first."""
    gains = {name: share - worse.shares.get(name, 0.0) for name, share in better.shares.items()}
    raising = [name for name, gain in gains.items() if gain > 0]
    return questions_won(better, worse) or tuple(sorted(raising, key=lambda name: gains[name], reverse=True))


def pair_first(candidates: list[Scored], wins: Beats) -> list[tuple[Scored, Scored]]:
    """The first pair in the order of the samples, outer loop over the winner (the authors' code)."""
    return [(a, b) for a, b in permutations(candidates, 2) if wins(a, b)][:1]


def pair_widest(candidates: list[Scored], wins: Beats) -> list[tuple[Scored, Scored]]:
    """The winning pair with the largest gap (Prompt-A-Video 3.3: best against worst)."""
    return pair_all(candidates, wins)[:1]


def pair_adjacent(candidates: list[Scored], wins: Beats) -> list[tuple[Scored, Scored]]:
    """Neighbours in the order of rewards (S1 3.3: r_m < r_m+1), the widest first."""
    ranked = sorted(candidates, key=lambda item: rank(item.score), reverse=True)
    return sort_by_gap([(a, b) for a, b in pairwise(ranked) if wins(a, b)])


def pair_all(candidates: list[Scored], wins: Beats) -> list[tuple[Scored, Scored]]:
    """All winning pairs (S1 3.3 read literally), the widest first."""
    ranked = sorted(candidates, key=lambda item: rank(item.score), reverse=True)
    return sort_by_gap([(a, b) for a, b in combinations(ranked, 2) if wins(a, b)])


def sort_by_gap(pairs: list[tuple[Scored, Scored]]) -> list[tuple[Scored, Scored]]:
    return sorted(pairs, key=lambda pair: subtract(pair[1].score, pair[0].score))


PAIRS = {"first": pair_first, "widest": pair_widest, "adjacent": pair_adjacent, "all": pair_all}


def make_pair(better: Scored, worse: Scored, params: DpoParams) -> DVideo:
    chosen, rejected = better.row, worse.row
    return DVideo(
        pair_id=content_id(chosen.query_id, chosen.prompt, rejected.prompt, "video"),
        query_id=chosen.query_id,
        query=chosen.query,
        chosen=chosen.prompt,
        rejected=rejected.prompt,
        source="video",
        rule=name_rule(params),
        chosen_origin="policy",
        score_chosen=float(better.score),
        score_rejected=float(worse.score),
        target=params.target,
        round=params.round,
        chosen_id=chosen.prompt_id,
        rejected_id=rejected.prompt_id,
        decided_by=what_decides(better, worse),
        safety=chosen.safety,
    )


def name_rule(params: DpoParams) -> str:
    """Return the name of the rule as the rows of D_video carry it."""
    name = f"{params.video_pairs}, gap > {params.reward_gap:g}, dominance {params.dominance}"
    if params.min_effect is not None:
        name += f", gap > {params.min_effect:g} deviations of the noise"
    return name + (", safety veto" if params.safety_veto else "")


STAGE = Declaration(reads=(Render, Reward), row=DVideo, unit="query")


@click.command("d_video")
@click.argument("lanes", nargs=-1, required=True, metavar="RENDER REWARD [RENDER REWARD]...")
@click.argument("out")
@option
def main(lanes: tuple[str, ...], out: str, params_path: str) -> None:
    """x, p_k, r_k -> D_video: pair prompts whose clips' rewards differ enough, of one lane or of several together."""
    if len(lanes) % 2:
        raise click.UsageError("a file of clips and one of rewards for each lane, then OUT")
    params = load_params(params_path)
    with stage_output(out, DVideo, label="d_video") as writer:
        shared = SharedParts()
        rewards = [row for path in lanes[1::2] for row in shared.share(read_rows(path, Reward))]
        rows = gather_siblings(shared.share(writer.read_units(lanes[::2], Render, "query_id")))
        feedback = read_feedback(rows, rewards, params.reward, params.dpo)
        items = list(d_video(rows, feedback, params.dpo))
        writer.write(items)
        pairs = (item for item in items if isinstance(item, DVideo))
        writer.add_metrics(pair_replication=find_replicates(rows, feedback.score).count_kept(pairs))
