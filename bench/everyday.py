"""Speed where people wait: `python -m bench.everyday [--before CHECKOUT]` writes bench/results/everyday.md.

What one unlucky request holds up, and CPU seconds and memory of package, evaluate and d_video at the size of a real
run. Each measurement runs in a process of its own; with --before another checkout is measured beside, turn by turn.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.page import read_basis, write_page
from bench.teacher_stage import reply
from tests.support.in_thread import in_thread
from tests.support.llm_server import LLMServer

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PROMPTS, ARMS = 17_000, 37_500, 5
WORDS = (
    "amber",
    "bridge",
    "calm",
    "drifting",
    "early",
    "forest",
    "golden",
    "harbour",
    "ivory",
    "jade",
    "kettle",
    "lamp",
)
LAST = 999


class Unlucky(LLMServer):
    """A server that fails fast twice at the last conversation, then never answers it, and then answers as others."""

    async def respond(self, request, body, entry):
        """Answer as any server of the tests, but for the unlucky one."""
        import asyncio

        from aiohttp import web

        if f"number {LAST} " in body["messages"][-1]["content"]:
            self.seen["unlucky"] += 1
            if self.seen["unlucky"] <= 2:
                return web.json_response({"error": {"message": "boom"}}, status=500)
            if self.seen["unlucky"] == 3:
                await asyncio.Event().wait()
        return await super().respond(request, body, entry)


def hold_up(tree: Path, folder: Path) -> dict:
    """How long a stage waits for one unlucky request after all others, beside the slowest good answer."""
    words = folder / "words.txt"
    words.write_text("Write a prompt for the query.")
    with in_thread(Unlucky(reply, delay_s=0.6, sigma=0.5)) as server:
        command = [
            sys.executable,
            str(tree / "bench/teacher_client.py"),
            "engine",
            server.base_url,
            str(LAST + 1),
            words,
        ]
        subprocess.run(command, check=True, cwd=tree, env=environment(folder, tree), stdout=subprocess.DEVNULL)
        answers = sorted((entry[0] + entry[5], entry[5]) for entry in server.log if entry[2] == "ok")
    (last_s, _), (before_s, _) = answers[-1], answers[-2]
    return {"held_s": last_s - before_s, "slowest_s": max(latency for _, latency in answers)}


def environment(home: Path, tree: Path) -> dict[str, str]:
    return os.environ | {"VPO_HOME": str(home / "home"), "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def stage(tree: Path, folder: Path, *words: str) -> dict:
    """Run a stage of a checkout in `folder`; return its CPU seconds and its largest size."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words], cwd=folder, env=environment(folder, tree),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    error_output = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(error_output.decode()[-2000:])
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss / 1e6}


def package(tree: Path, folder: Path) -> dict:
    """The Hub-ready folder of 17,000 pairs, as many prompts of D_SFT, and their queries."""
    return stage(
        tree, folder, "package", "data/queries", "data/sft", "data/dpo", "results/queries.json", "data/package"
    )


def evaluate(tree: Path, folder: Path) -> dict:
    """Five arms on 7,500 queries."""
    return stage(tree, folder, "evaluate", "data/queries", "data/eval", "results/models", "data/evaluate.jsonl")


def d_video(tree: Path, folder: Path) -> dict:
    """Four scored clips of 9,375 queries each."""
    return stage(
        tree, folder, "d_video", "data/dpo/render.parquet", "data/dpo/reward.parquet", "data/dpo/d_video.jsonl"
    )


MEASURES = {measure.__name__: measure for measure in (hold_up, package, evaluate, d_video)}


# ---- the data that they read


def text(number: int, words: int) -> str:
    """Return a made-up text, another one for each number."""
    words_of_number = " ".join(WORDS[(number * 7 + place * place * 5 + place) % len(WORDS)] for place in range(words))
    return f"{words_of_number} {number}"


def write_data(folder: Path) -> None:
    """Write what the measured stages read."""
    from pipeline.runtime.io import write_json, write_rows
    from pipeline.runtime.stage_output import dropped_path
    from schemas.base import Dropped
    from schemas.critique import Critique
    from schemas.d_dpo import DDpo
    from schemas.d_sft import DSft
    from schemas.queries import Query
    from schemas.refine import Refine
    from schemas.rollout import Rollout
    from tests.support.small_project import judged, pair, prompt, write_params

    data = folder / "data"
    write_params(folder)
    tree = json.loads((folder / "params.yaml").read_text())
    arms = {f"arm{number}": {"prompts": "query", "source": "data/queries/test.jsonl"} for number in range(ARMS)}
    tree["evaluate"] |= {"arms": arms, "versus": [["arm1", "arm0"], ["arm2", "arm1"]], "bootstrap": 2000}
    tree["reward"]["models"]["checklist"]["questions"] = str(ROOT / "pipeline/backends/reward/questions.jsonl")
    (folder / "params.yaml").write_text(json.dumps(tree))
    sizes = {"sft": PAIRS, "dpo": PROMPTS // 4, "test": PROMPTS // ARMS}
    queries = {split: list(make_queries(split, size)) for split, size in sizes.items()}
    for split, rows in queries.items():
        write_rows(data / f"queries/{split}.jsonl", rows, Query)
    write_json(folder / "results/queries.json", {"units_in": 1, "units_done": 1, "dropped": {}})
    written = [DSft(**prompt(row, "fewshot", f" {text(n, 60)}"), refined=False, violated=())
               for n, row in enumerate(queries["sft"])]  # fmt: skip
    write_rows(data / "sft/d_sft.jsonl", written, DSft)
    pairs = [DDpo(**long_pair(pair(queries["dpo"][n // 2], ("text", "video")[n % 2]), n)) for n in range(PAIRS)]
    write_rows(data / "dpo/d_dpo.jsonl", pairs, DDpo)
    for lane in ("sft", "dpo"):
        for name, row in (("critique", Critique), ("refine", Refine)):
            write_rows(data / f"{lane}/{name}.jsonl", [], row)
    four = [Rollout(**prompt(row, "sft", f" {text(k, 60)}", k)) for row in queries["dpo"] for k in range(4)]
    write_rows(data / "dpo/rollout.jsonl", four, Rollout)
    write_clips(data / "dpo", four)
    for arm in arms:
        here = data / "eval/test" / arm
        rows = [Rollout(**prompt(row, arm, f" {text(len(arm), 60)} {arm}"), suite="test") for row in queries["test"]]
        write_rows(here / "rollout.jsonl", rows, Rollout)
        write_rows(here / "critique.jsonl", [judged(row) for row in rows], Critique)
        for name in ("rollout", "critique"):
            write_rows(dropped_path(here / f"{name}.jsonl"), [], Dropped)
        write_clips(here, rows)


def make_queries(split: str, size: int) -> Iterator:
    """Yield made-up queries, every tenth of which asks for something harmful."""
    from schemas.base import content_id
    from schemas.queries import Query

    for number in range(size):
        query = f"{split} {text(number, 9)}"
        yield Query(query_id=content_id(query), query=query, split=split, safety=number % 10 == 0, raw=query,
                    source="synthetic", source_id=f"{split}/{number}")  # fmt: skip


def long_pair(row: dict, number: int) -> dict:
    from schemas.base import content_id

    chosen, rejected = f"{row['query']} {text(number, 60)} calm", f"{row['query']} {text(number, 60)}"
    query_id = row["query_id"]
    ids = {"pair_id": content_id(query_id, chosen, rejected, row["source"]),
           "chosen_id": content_id(query_id, chosen), "rejected_id": content_id(query_id, rejected)}  # fmt: skip
    return row | ids | {"chosen": chosen, "rejected": rejected}


def write_clips(folder: Path, rows: list) -> None:
    """Write the manifest of a grey clip for each prompt, all in one place, and two reward models' rows."""
    import numpy as np

    from pipeline.runtime.io import write_rows
    from pipeline.runtime.stage_output import dropped_path
    from pipeline.scoring.questions import read_questions
    from pipeline.video.clips import Packed, make_clip, write_shards
    from schemas.base import Dropped, Provenance, content_id
    from schemas.render import Render
    from schemas.reward import Answer, Dimension, Reward
    from tests.support.small_project import RENDERER, shared

    clip = make_clip(np.full((4, 16, 16, 3), 90, np.uint8), 8)
    clip_hash = hashlib.sha256(clip.content).hexdigest()[:32]
    file = folder / "grey.mp4"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(clip.content)
    # those that the figure shows; the others lie where the first does
    places = write_shards(
        folder / "render", [Packed(content_id(row.query_id, row.prompt), file) for row in rows[:50]], 500
    )
    first = next(iter(places.values()))
    questions = read_questions(str(ROOT / "pipeline/backends/reward/questions.jsonl"))
    manifest, rewards = [], []
    for number, row in enumerate(rows):
        video_id = content_id(row.query_id, row.prompt)
        manifest.append(Render(
            **shared(row), video_id=video_id, settings=json.dumps({"height": 16, "steps": 4}), seed=1,
            frames_hash=clip.frames_hash, clip_hash=clip_hash, n_frames=4, height=16, width=16,
            frames_per_second=8, truncated=False, rendered_by=RENDERER,
            **places.get(video_id, first)._asdict(),
        ))  # fmt: skip
        clip_columns = dict(video_id=video_id, query_id=row.query_id, prompt_id=row.prompt_id, suite=row.suite,
                            arm=row.arm, frames_hash=clip.frames_hash, scored_text=row.query)  # fmt: skip
        answers = tuple(
            Answer(question_id=item.question_id, answer=(number + place) % 3 > 0)
            for place, item in enumerate(questions)
        )
        dims = tuple(Dimension(name=name, value=(number * 37 % 101) / 101) for name in ("DD", "VQ", "TC"))
        for model, parts in (("checklist", {"answers": answers, "dims": ()}), ("dims", {"answers": (), "dims": dims})):
            by = Provenance(backend=f"offline_{model}", model=model, revision="3" * 16)
            rewards.append(Reward(**clip_columns, reward=model, **parts, scored_by=by))
    write_rows(folder / "render.parquet", manifest, Render)
    write_rows(folder / "reward.parquet", rewards, Reward)
    for name in ("render", "reward"):
        write_rows(dropped_path(folder / f"{name}.parquet"), [], Dropped)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    parser.add_argument("--only", nargs="*", default=[*MEASURES])
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.write:
        write_data(arguments.write)
        return
    trees = {"before": arguments.before.resolve()} if arguments.before else {}
    trees["now"] = ROOT
    basis = read_basis("everyday")
    runs: dict[str, dict[str, list[dict]]] = {name: {when: [] for when in trees} for name in arguments.only}
    with tempfile.TemporaryDirectory(prefix="vpo-everyday-") as name:
        folder = Path(name)
        if {*arguments.only} - {"hold_up"}:
            # in a process of its own: a child begins with its parent's peak of memory
            subprocess.run([sys.executable, "-m", "bench.everyday", "--write", str(folder)], cwd=ROOT, check=True)
        for measure in arguments.only:
            for _ in range(arguments.times):
                for when, tree in trees.items():
                    began = time.monotonic()
                    runs[measure][when].append(MEASURES[measure](tree, folder))
                    print(measure, when, runs[measure][when][-1], f"{time.monotonic() - began:.0f} s", flush=True)
    if arguments.only == [*MEASURES]:
        write_page("everyday", report(runs, arguments.times), basis)


def report(runs: dict[str, dict[str, list[dict]]], times: int) -> str:
    """Return the page."""
    whens = [*runs["package"]]
    lines = [
        "# Speed where people wait",
        "",
        f"{'One run' if times == 1 else f'Medians of {times}'}, a process each, one after the other; CPU seconds of a "
        "shared machine of two cores: quote ratios within one run.",
        "",
        f"| what | {' | '.join(whens)} |",
        f"|---|{'---|' * len(whens)}",
    ]

    def line(what: str, measure: str, figure) -> None:
        cells = [figure(lambda name, when=when: median(run[name] for run in runs[measure][when])) for when in whens]
        lines.append(f"| {what} | {' | '.join(cells)} |")

    def times_slowest(of) -> str:
        return f"{of('held_s'):.1f} s, {of('held_s') / of('slowest_s'):.1f} times"

    line("one request of 1,000 fails twice and then hangs: all others wait for it, beside the slowest good answer",
         "hold_up", times_slowest)  # fmt: skip
    for measure, what in (
        ("package", f"`package`, {PAIRS:,} pairs and as many rows of D_SFT"),
        ("evaluate", f"`evaluate`, {PROMPTS:,} prompts of {ARMS} arms"),
        ("d_video", f"`d_video`, {PROMPTS:,} clips"),
    ):
        line(what, measure, lambda of: f"{of('cpu_s'):.1f} CPU s, {of('peak_gb'):.2f} GB")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
