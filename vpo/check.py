"""`vpo check`: is every pair, clip and score wired to what it says it came from?

Each check is a query that returns the rows that break it, so a person can look at them. `{arm}` checks run for the
extra arms too. What SQL cannot see (weights, scores by formula) is a function below.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vpo.damaged_files import find_changed_files
from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project
from vpo.storage.garbage import cache

if TYPE_CHECKING:
    import duckdb

    from schemas.base import Row
    from schemas.params import Params
    from schemas.render import Render

MADE = ("queries", "d_sft", "rollout_dpo", "d_dpo", "rollout_eval", "evaluate")
"""Without rows in these a check would find nothing because there is nothing."""
SHOWN = 3
"""rows that break a check, of those that are shown"""

CHECKS = {
    "no query is in two splits": """
        select query_id from queries group by query_id having count(distinct split) > 1""",
    "no two splits hold the same text": """
        select lower(query) as text from queries group by text having count(distinct split) > 1""",
    "D_SFT is made of sft queries": """
        select query_id from d_sft where arm <> 'ready'
        and query_id not in (select query_id from queries where split = 'sft')""",
    "pairs are made of dpo queries": """
        select query_id from pairs where rule <> 'ready'
        and query_id not in (select query_id from queries where split = 'dpo')""",
    "no test query is trained on": """
        select query_id from (select query_id from d_sft union all select query_id from pairs)
        where query_id in (select query_id from queries where split = 'test')""",
    "a row's query is its query_id's": """
        select d.query_id from (select query_id, query from d_sft where arm <> 'ready'
        union all select query_id, query from pairs where rule <> 'ready'
        union all select query_id, query from rollout_dpo union all select query_id, query from rollout_eval) d
        left join queries q using (query_id) where q.query is distinct from d.query""",
    "D_SFT keeps what was aligned and refines what was not": """
        select d.query_id from d_sft d join critique_sft c using (query_id)
        left join refine_sft r using (query_id) where d.arm <> 'ready'
        and d.prompt is distinct from (case when c.aligned then c.prompt else r.p_refined end)""",
    "few-shot prompts come from the teacher and rollouts from the policy": """
        select prompt_id from fewshot_sft where arm <> 'fewshot'
        union all select prompt_id from rollout_dpo where arm <> 'sft'""",
    "rollouts are not few-shot rows": """
        select r.prompt_id from rollout_dpo r where written_by.model in
        (select distinct written_by.model from fewshot_sft)""",
    "a critique is of the prompt that was rolled out": """
        select c.prompt_id from critique_dpo c left join rollout_dpo r using (query_id, arm, sample)
        where r.prompt is distinct from c.prompt""",
    "a refinement belongs to a prompt found flawed": """
        select f.prompt_id from (select * from refine_sft union all by name select * from refine_dpo) f
        where f.aligned or len(f.violated) = 0""",
    "a text pair is p_refined over p of its own query": """
        select d.pair_id from d_text d left join refine_dpo r
        on r.query_id = d.query_id and r.prompt = d.rejected and r.p_refined = d.chosen where r.prompt_id is null""",
    "a text pair's loser was found flawed": """
        select d.pair_id from d_text d where d.rejected_id in (select prompt_id from critique_dpo where aligned)""",
    "a video pair is of two rollouts of its own query": """
        select d.pair_id from video_pairs d where not exists (select 1 from rollout_dpo r
        where r.query_id = d.query_id and r.prompt = d.chosen) or not exists (select 1 from rollout_dpo r
        where r.query_id = d.query_id and r.prompt = d.rejected)""",
    "a video pair's prompts both passed the text check": """
        select d.pair_id from d_video d where d.chosen_id not in (select prompt_id from critique_dpo where aligned)
        or d.rejected_id not in (select prompt_id from critique_dpo where aligned)""",
    "the unchecked lane renders what the text check refused": """
        select r.prompt_id from render_unchecked r left join rollout_dpo o using (query_id, arm, sample)
        where r.prompt is distinct from o.prompt
        or r.prompt_id in (select prompt_id from critique_dpo where aligned)""",
    "a video pair's winner scored higher": """
        select pair_id from video_pairs where not score_chosen > score_rejected""",
    "text feedback that was made is used": """
        select distinct 'no text pair in d_dpo' as what from d_text
        where text_feedback() and not exists (select 1 from d_dpo where source = 'text' or rule = 'ready')""",
    "video feedback that was made is used": """
        select distinct 'no video pair in d_dpo' as what from d_video where video_feedback()
        and not exists (select 1 from d_dpo where source = 'video' or rule = 'ready')
        and exists (select 1 from d_video where query_id not in (select query_id from d_text))""",
    "chosen differs from rejected": """
        select pair_id from pairs where chosen = rejected""",
    "a reward is of the clip it names": """
        select w.video_id from reward w left join render r on r.lane = w.lane and r.video_id = w.video_id
        where r.frames_hash is distinct from w.frames_hash or r.query_id is distinct from w.query_id
        or r.prompt_id is distinct from w.prompt_id""",
    "a reward was scored against its query or prompt": """
        select w.video_id from reward w join render r on r.lane = w.lane and r.video_id = w.video_id
        where w.scored_text not in (r.query, r.prompt)""",
    "sibling prompts share their noise": """
        select query_id from render group by query_id, replicate having count(distinct seed) > 1""",
    "every arm met every test query": """
        select a.arm, count(*) as n from (select distinct arm from rollout_eval) a, (select query_id from queries
        where split = 'test') q where not exists (select 1 from rollout_eval r where r.arm = a.arm
        and r.query_id = q.query_id) and not exists (select 1 from rollout_eval_dropped d where d.arm = a.arm
        and d.input_id like '%' || q.query_id || '%') group by a.arm""",
    "trained arms have weights of their own": """
        select revision from (select distinct arm, written_by.revision as revision from rollout_eval
        where written_by.backend not in ('offline', 'openai', 'query', 'file')) group by revision
        having count(distinct arm) > 1""",
    "prompts hold no marker and no chat token": r"""
        select prompt_id from (select prompt_id, prompt from fewshot union all select prompt_id, prompt from rollout)
        where regexp_matches(prompt, '\[\[\s*(start|end)\s*\]\]|<\|\w+\|>')""",
}


def find_wrong_scores(
    connection: "duckdb.DuckDBPyConnection", params: "Params", view: str = "d_video", lanes: Sequence[str] = ("dpo",)
) -> list[str]:
    """Return the pair_ids of a view of D_video whose scores are not those of their prompts' own clips, or too close.

    `lanes` are those whose clips it pairs.
    """
    from pipeline.scoring.exact import as_written, subtract
    from pipeline.scoring.formulas import compute_scores
    from schemas.reward import Reward

    result = connection.execute(unite(f"select * from reward_{lane}" for lane in lanes))
    names = [column[0] for column in result.description]
    rows = [Reward.model_validate(dict(zip(names, row, strict=True))) for row in result.fetchall()]
    shown = connection.execute(
        unite(f"select prompt_id, video_id from render_{lane} where replicate = 0" for lane in lanes)
    ).fetchall()
    clips = {video_id for _, video_id in shown}
    by_clip = compute_scores(rows, params.reward, [row for row in rows if row.video_id in clips])
    by_prompt = {prompt_id: by_clip[video_id] for prompt_id, video_id in shown if video_id in by_clip}
    pairs = connection.execute(
        f"select pair_id, chosen_id, rejected_id, score_chosen, score_rejected from {view}"
    ).fetchall()
    gap = as_written(params.dpo.reward_gap)
    return [
        pair_id
        for pair_id, chosen, rejected, high, low in pairs
        if not {chosen, rejected} <= by_prompt.keys()
        or (float(by_prompt[chosen]), float(by_prompt[rejected])) != (high, low)
        or subtract(by_prompt[chosen], by_prompt[rejected]) <= gap
    ]


def unite(selects: Iterable[str]) -> str:
    """Return the query of all rows of several."""
    return " union all by name ".join(selects)


def find_foreign_pairs(root: Path, graph: Graph, params: "Params") -> list[str]:
    """Return the pairs of D_dpo, of every arm, that none of the files holds which the params name as its sources.

    Ready pairs come from elsewhere, and pairs with exchanged labels have ids of their own.
    """
    from schemas.params import TrainedArmParams

    def read_pairs(path: str) -> Iterator[dict[str, Any]]:
        # as they stand: whether an id is that of its texts is another check
        return map(json.loads, (root / path).read_bytes().splitlines()) if (root / path).is_file() else iter(())

    foreign = []
    for stage in graph.running("d_dpo"):
        arm = stage.word_after("--arm")
        sources = params.dpo.sources_of(params.dpo.arms[arm] if arm else TrainedArmParams()).values()
        given = {pair["pair_id"] for path in sources for pair in read_pairs(path)}
        for pair in read_pairs(stage.outs[0]):
            if pair["rule"] != "ready" and ", labels " not in pair["rule"] and pair["pair_id"] not in given:
                foreign.append(f"{stage.outs[0]}: {pair['pair_id']}")
    return foreign


def find_wrong_ids(root: Path, graph: Graph) -> list[str]:
    """Return the rows whose ids or links are not made of their own texts, as "file:line: what"."""
    from pydantic import ValidationError

    from schemas.base import Row
    from schemas.render import Render
    from schemas.stage import row_class

    wrong = []
    for stage in graph.stages.values():
        row = row_class(stage.module)
        if row is None or row.find_fault is Row.find_fault:
            continue
        for out in stage.outs:
            if out.endswith("_dropped.jsonl") or not (root / out).is_file():
                continue
            for place, read in read_places(root, out, row):
                try:
                    item = read()
                    fault = item.find_fault() or (find_foreign_clip(item) if isinstance(item, Render) else "")
                except ValidationError as invalid:
                    fault = str(invalid.errors()[0]["msg"])
                if fault:
                    wrong.append(f"{place}: {fault}")
    return wrong


def find_foreign_clip(row: "Render") -> str:
    """Return whether the clip of a manifest's row is another one than its prompt, generator, settings and seed make."""
    from pipeline.video.rendering import video_id_of

    try:
        right = video_id_of(row)
    except ValueError:
        return "settings: no JSON"
    return "" if right == row.video_id else f"video_id: not that of its prompt, generator, settings and seed, {right}"


def read_places(root: Path, out: str, row: type["Row"]) -> Iterator[tuple[str, Callable[[], "Row"]]]:
    """Yield for each row of a file where it stands and what reads it, which raises ValidationError."""
    if out.endswith(".jsonl"):
        for number, line in enumerate((root / out).read_bytes().splitlines(), 1):
            yield f"{out}:{number}", partial(row.model_validate_json, line)
    elif out.endswith(".parquet") and not Path(out).stem.endswith("_dropped"):
        import pyarrow.parquet as pq

        for number, record in enumerate(pq.ParquetFile(root / out).read().to_pylist(), 1):
            yield f"{out}: row {number}", partial(row.model_validate, record)


def find_strange_revisions(connection: "duckdb.DuckDBPyConnection", root: Path, graph: Graph) -> list[str]:
    """Return the rollouts' revisions that are not the hash of the model that the graph gives them."""
    from pipeline.backends.policy.model_folder import model_revision

    query = "select distinct written_by.revision from rollout_dpo"
    revisions = [revision for (revision,) in connection.execute(query).fetchall()]
    models = [path for stage in graph.running("rollout", "dpo") for path in stage.paths if is_model(graph, path)]
    right = {model_revision(root / path) for path in models}
    return [revision for revision in revisions if revision not in right]


def find_leaked_queries(connection: "duckdb.DuckDBPyConnection") -> list[str]:
    """Return the queries of ready sets that equal a test query but for signs and case, or resemble one.

    The other rows are of queries that stage `queries` has compared.
    """
    from pipeline.curation.ready_queries import find_leaked

    ready = connection.execute(
        "select query from d_sft where arm = 'ready' union select query from pairs where rule = 'ready' order by query"
    ).fetchall()
    if not ready:
        return []
    test = connection.execute("select query from queries where split = 'test'").fetchall()
    return list(find_leaked([query for (query,) in ready], [query for (query,) in test]))


def is_model(graph: Graph, path: str) -> bool:
    """Return whether a stage of `train` writes a path."""
    maker = graph.maker(path)
    return maker is not None and maker.package == "train"


def run_checks(root: Path, recipe: str = "") -> dict[str, list[Any] | None]:
    """Return, by check, the first rows that break it; None where the graph has no such artifact.

    Raises ClickException before the graph has run, and where an artifact cannot be read.
    """
    from pipeline.runtime.params_file import load_params
    from vpo.sql import connect
    from vpo.views import names_of

    graph = read_graph(root, recipe)
    params = load_params(root / graph.params_file)
    connection = connect(root, recipe)
    names = names_of(root, graph)
    idle = {"rollout_dpo"} if params.d_dpo.path else set()  # a ready D_dpo takes the place of what it would be made of
    made = [name for name in MADE if name in names and name not in idle]
    lacking = [name for name in made if not connection.execute(f"from {name} limit 1").fetchall()]
    if lacking or not made:
        missing = ", ".join(lacking or MADE)
        raise click.ClickException(f"nothing to check: {missing} without rows; run `dvc repro` first")
    for view, parts in (("pairs", ("d_dpo", "d_dpo_arm")), ("video_pairs", ("d_video", "d_video_unchecked"))):
        if present := [name for name in parts if name in names]:
            selects = unite(f"select * from {name}" for name in present)
            connection.execute(f"create temp view {view} as {selects}")
    for name in ("text_feedback", "video_feedback"):
        connection.execute(f"create temp macro {name}() as {str(getattr(params.dpo, name)).lower()}")
    checks: dict[str, Callable[[], list[Any]]] = {
        name: partial(fetch, connection, query) for name, query in CHECKS.items()
    }
    checks["a video pair's scores are those of its prompts' own clips"] = partial(find_wrong_scores, connection, params)
    checks["a pair of all rollouts has the scores of its prompts' own clips"] = partial(
        find_wrong_scores, connection, params, "d_video_unchecked", ("dpo", "unchecked")
    )
    checks["D_dpo holds pairs of its own D_text and D_video alone"] = lambda: find_foreign_pairs(root, graph, params)
    checks["ids are made of the texts beside them"] = lambda: find_wrong_ids(root, graph)
    checks["files are those that dvc.lock names"] = lambda: find_changed_files(root, graph, cache(root))
    checks["no query of a ready set resembles a test query"] = partial(find_leaked_queries, connection)
    checks["rollouts were written by the SFT model"] = partial(find_strange_revisions, connection, root, graph)
    return {name: run_check(check, names) for name, check in checks.items()}


def fetch(connection: "duckdb.DuckDBPyConnection", query: str) -> list[Any]:
    """Return the first rows of a query."""
    return connection.execute(query).fetchmany(SHOWN)


def run_check(check: Callable[[], list[Any]], names: set[str]) -> list[Any] | None:
    """Return the first rows that break a check, None where it is about an artifact that is not among `names`.

    Raises ClickException where one of `names` could not be read.
    """
    import duckdb

    try:
        return check()[:SHOWN]
    except duckdb.CatalogException as fault:
        match = re.search(r"Table with name (\w+) does not exist", str(fault))
        if match is None:
            raise
        if match[1] in names:
            raise click.ClickException(f"{match[1]} cannot be read: see above") from None
        return None


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: check -> rows that break it.")
@recipe_option
def main(as_json: bool, recipe: str) -> None:
    """Trace every pair, clip and score to what it says it came from."""
    import json

    from pipeline.runtime.terminal import escape_json, make_visible

    broken = run_checks(find_project(), recipe)
    if as_json:
        click.echo(escape_json(json.dumps(broken, default=str, ensure_ascii=False)))
    else:
        for name, rows in broken.items():
            verdict = "-     " if rows is None else "BROKEN" if rows else "ok    "
            click.echo(make_visible(f"{verdict} {name}{f': {rows}' if rows else ''}"))
    raise SystemExit(1 if any(broken.values()) else 0)
