"""How many tokens a call takes: as the store has seen it of this model, else as assumed."""

import json
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, median

from pipeline.llm.calls.answers import read_usage
from pipeline.llm.calls.expected_tokens import TOKENS_PER_CHARACTER
from pipeline.runtime.store import Store
from vpo.planning.lookup import n_characters, task

NEWEST = 3000
"""the newest answers of teachers and judges that are looked at"""
OUTPUT_TOKENS = {"recheck": 60, "fewshot": 180, "critique": 220, "refine": 260, "again": 200, "rollout": 180}
"""ours, before any answer is seen: a line of reasons; a prompt of 100 to 120 words; three principles; both"""


class Tokens:
    """Tokens of one model at one host, by task."""

    def __init__(self, store: Store, host: str, model: str):
        per_character: dict[str, list[float]] = defaultdict(list)
        output: dict[str, list[int]] = defaultdict(list)
        rows = store.connection.execute(
            "select request, answer from (select request, answer from answers where kind = 'teacher' "
            "order by rowid desc limit ?) where json_extract(request, '$.host') = ? "
            "and json_extract(request, '$.body.model') = ?",
            (NEWEST, host, model),
        )
        for request, answer in rows:
            counted = read_usage(json.loads(answer).get("body"))
            messages = json.loads(request)["body"]["messages"]
            if counted and (characters := n_characters(messages)):
                for name in (task(messages), ""):
                    per_character[name].append(counted[0] / characters)
                    output[name].append(counted[1])
        self.per_character = {name: median(shares) for name, shares in per_character.items()}
        self.output = {name: fmean(counts) for name, counts in output.items()}
        self.answers = {name: len(counts) for name, counts in output.items()}

    def of(self, name: str, calls: float, characters: float, say: Callable[[str], None]) -> tuple[float, float]:
        """Return (input, output) tokens of `calls` of a task that send `characters` in all; `say` why."""
        each = self.per_character.get(name) or self.per_character.get("")
        if each is None:
            say(f"{TOKENS_PER_CHARACTER} input tokens a character: assumed, this model has not answered yet")
        if name in self.output:
            output = self.output[name]
            say(f"{output:.0f} output tokens a {name}: mean of {self.answers[name]} answers in the store")
        else:
            output = OUTPUT_TOKENS[name]
            say(f"{output} output tokens a {name}: assumed, this model has answered none yet")
        return characters * (each or TOKENS_PER_CHARACTER), calls * output
