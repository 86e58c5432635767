"""A real stage against the loopback server: its queries, its params file, its process, and what came of each query."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.llm_faults import ALL_FAULTS, LASTING, conversation_id
from tests.support.llm_server import serving_process

ROOT = Path(__file__).resolve().parents[1]

__all__ = ["ALL_FAULTS", "ROOT", "Stage", "bought", "judged", "kill_group", "reply", "serving_process", "wait_for"]

KEY = "BENCH_API_KEY"
WORDS = "in soft evening light, with slow clouds, wet stones and a calm camera that follows from behind, " * 4
TRUE_REASON = {"empty": "empty", "length": "truncated", "refusal": "refused", "refusal_text": "refused",
               "content_filter": "content_filter", "content_filter_azure": "content_filter"}  # fmt: skip
"""why a conversation with a lasting fault must be set aside; where two choices came for one, `failed` is as good"""


def query(number: int) -> str:
    return f"a street musician number {number} under a bridge"


def prompt_for(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}, {WORDS.strip(' ,')}."


def reply(model: str, messages: list[dict]) -> str:
    """Answer as the server does: a prompt that only this query can have."""
    asked = re.findall(r"<query>\s*(.*?)\s*</query>", messages[-1]["content"], re.S)[-1]
    return f"[[start]]{prompt_for(asked)}[[end]]"


class Stage:
    """`python -m pipeline fewshot` in `folder`, with a store of its own."""

    def __init__(self, folder: Path, base_url: str, **teacher):
        self.folder, self.home = folder, folder / "home"
        self.out = folder / "data" / "fewshot.jsonl"
        self.teacher = {"backend": "openai", "model": "m", "api_key_env": KEY, "base_url": base_url} | teacher
        self.template = ROOT / "pipeline/templates/fewshot.jinja"
        folder.mkdir(parents=True, exist_ok=True)

    def write_queries(self, numbers) -> None:
        from pipeline.runtime.io import write_rows
        from schemas.base import content_id
        from schemas.queries import Query

        rows = [
            Query(query_id=content_id(query(number)), query=query(number), split="sft", safety=False,
                  raw=query(number), source="bench", source_id=str(number))
            for number in numbers
        ]  # fmt: skip
        write_rows(self.folder / "queries.jsonl", rows, Query)

    def command(self, **teacher) -> list[str]:
        from ruamel.yaml import YAML

        yaml = YAML()
        tree = yaml.load((ROOT / "params.yaml").read_text())
        tree["teacher"] |= self.teacher | teacher
        tree["fewshot"]["template"] = str(self.template)
        params = self.folder / "params.yaml"
        with params.open("w") as file:
            yaml.dump(tree, file)
        return [sys.executable, "-m", "pipeline", "fewshot", str(self.folder / "queries.jsonl"), str(self.out),
                "--params", str(params)]  # fmt: skip

    def start(self, **teacher) -> subprocess.Popen:
        environment = {**os.environ, "VPO_HOME": str(self.home), KEY: "sk-bench", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            self.command(**teacher), cwd=ROOT, env=environment, text=True, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=(self.folder / "stderr.txt").open("w"),
        )  # fmt: skip

    def run(self, **teacher) -> int:
        return self.start(**teacher).wait()

    def said(self) -> str:
        return (self.folder / "stderr.txt").read_text()[-800:]

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for part in ("data", "results")
            for path in sorted((self.folder / part).rglob("*"))
            if path.is_file()
        }

    def rows(self) -> list[dict]:
        return lines(self.out)

    def dropped(self) -> list[dict]:
        return lines(self.out.with_name("fewshot_dropped.jsonl"))

    def conversations(self, seed: int = 0) -> dict[str, str]:
        """Return query -> the name of its conversation in the server's log."""
        from pipeline.fewshot import messages
        from pipeline.llm.template import Template
        from pipeline.runtime.io import read_rows
        from pipeline.runtime.params_file import load_params
        from schemas.fewshot import Exemplar
        from schemas.queries import Query

        words = Template(self.template, needs=("query",))
        exemplars = list(read_rows(ROOT / load_params(self.folder / "params.yaml").fewshot.exemplars, Exemplar))
        rows = read_rows(self.folder / "queries.jsonl", Query)
        return {row.query: conversation_id(json.dumps(messages(row, words, exemplars)), seed) for row in rows}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kill_group(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def judged(stage: Stage, log: list[list], seed: int) -> dict:
    """Compare what became of each query with the server's own record of its conversation."""
    from schemas.base import content_id

    conversations = stage.conversations(seed)
    met: dict[str, set[str]] = {}
    for entry in log:
        met.setdefault(entry[1], set()).add(entry[2])
    good = {row["query_id"]: row["prompt"] for row in stage.rows()}
    aside = {row["input_id"]: row["reason"] for row in stage.dropped()}
    found = {"bad_as_good": 0, "good_set_aside": 0, "wrong_reason": 0, "lost": 0, "twice": 0, "true": 0}
    found["twice"] = len(stage.rows()) + len(stage.dropped()) - len(good | aside)
    for text, conversation in conversations.items():
        name = content_id(text)
        lasting = next((fault for fault in met.get(conversation, ()) if fault in LASTING), None)
        reason = TRUE_REASON.get(lasting)
        if lasting == "two_choices" and aside.get(name) == "failed":
            reason = "failed"
        if name in good and (reason or good[name] != prompt_for(text)):
            found["bad_as_good"] += 1
        elif name in aside and not reason:
            found["good_set_aside"] += 1
        elif name in aside and aside[name] != reason:
            found["wrong_reason"] += 1
        elif name not in good and name not in aside:
            found["lost"] += 1
        else:
            found["true"] += 1
    return found


def bought(log: list[list]) -> dict[str, int]:
    """Return conversation -> how many good answers were sent for it."""
    counts: dict[str, int] = {}
    for entry in log:
        if entry[2] == "ok":
            counts[entry[1]] = counts.get(entry[1], 0) + 1
    return counts


def wait_for(server, requests: int, process: subprocess.Popen) -> dict:
    """Return the server's totals once it has answered so many requests, or the process has ended."""
    while True:
        totals = server.totals()
        if totals["requests"] >= requests or process.poll() is not None:
            return totals
        time.sleep(0.005)
