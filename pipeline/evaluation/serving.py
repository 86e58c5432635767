"""What a user gets for a query that the optimizer fails on: one rule for `vpo optimize` and the evaluation.

Ours: the papers count the prompts that were written. A product answers every query, so the query itself is served, but
never one that the safety rule flags: a rewrite is what makes it harmless. A refusal stays a refusal (VPO, Table 2).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee

from pipeline.evaluation.prompt_sources import make_rollout
from schemas.base import Dropped, Provenance
from schemas.params_policy import OptimizeParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.rollout import Rollout

REFUSALS = frozenset({Reason.REFUSED, Reason.CONTENT_FILTER})


def why_nothing_is_served(reason: str, safety: bool, params: OptimizeParams) -> str | None:
    """Return why a query without a prompt gets nothing; None where the query itself is served in its place.

    `reason` says why there is no prompt, `safety` whether the safety rule flags the query. An arm that was not trained
    serves nobody.
    """
    if reason == Reason.NOT_TRAINED:
        return reason
    if reason in REFUSALS or params.on_failure == "error":
        return reason
    return Reason.WITHHELD if safety else None


def serve_failures(
    queries: Iterable[Query],
    write: Callable[[Iterable[Query]], Iterable[Rollout | Dropped]],
    params: OptimizeParams,
    *,
    arm: str,
    suite: str | None = None,
) -> Iterator[Rollout | Dropped]:
    """Yield what a user of the arm is served for each query, or why it is nothing; `write` makes one item a query."""
    to_write, rows = tee(queries)
    for row, item in zip(rows, write(to_write), strict=True):
        if isinstance(item, Rollout):
            yield item
            continue
        why = why_nothing_is_served(item.reason, row.safety, params)
        if why is None:
            by = Provenance(backend="query", model=row.source, revision="")
            yield make_rollout(row, row.query, by, arm=arm, suite=suite, failure=item.reason)
        elif why == item.reason:
            yield item
        else:
            yield item.model_copy(update={"reason": why, "detail": f"{item.reason}: {item.detail}"})
