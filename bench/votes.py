"""What votes and verification buy, by a simulated judge: `python -m bench.votes` writes bench/results/votes.md.

The judge and the refiner are dice with known shares of error; all else is the real stages critique, refine and d_text.
"""

import hashlib
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench.page import read_basis, write_page
from pipeline.critique import critique
from pipeline.d_text import d_text
from pipeline.refine import refine
from pipeline.runtime.params_file import load_params
from schemas.base import Prompt, Provenance, content_id
from schemas.critique import Critique
from schemas.refine import Refine
from schemas.seams import Messages, Outcome

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
N, SEEDS = 20_000, range(5)
FLAWED, FALSE_ALARMS, RECALL, REFINER_FAILS = 0.06, 0.05, 0.95, 0.2
BY = Provenance(backend="dice", model="dice", revision="0")
VIDEO = "<query>{{ query }}</query><video_prompt>{{ prompt }}</video_prompt>"


class Dice:
    """A teacher that errs by the shares above: each answer depends on the seed, the messages and the sample alone.

    A prompt is its number, what became of it (+ is fine, - is flawed) and how often it was refined. `lasting` is the
    share of the false alarms that the text itself provokes, so that they come in every sample.
    """

    def __init__(self, seed: int, lasting: float):
        self.seed, self.lasting, self.calls = seed, lasting, 0

    def map(
        self, asked: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        for messages in asked:
            self.calls += 1
            yield Outcome(value=parse(self.answer(messages, sample)), by=BY)

    def answer(self, messages: Messages, sample: int) -> str:
        text = messages[-1]["content"]
        prompt = text.partition("<video_prompt>")[2].partition("</video_prompt>")[0]
        if "Refine" in text:
            name, _, times = prompt.split()
            fine = self.draw("refine", prompt, sample) >= REFINER_FAILS
            return f"[[start]]{name} {'+' if fine else '-'} {int(times) + 1}[[end]]"
        if "-" in prompt:
            aligned = self.draw("judge", prompt, sample) >= RECALL
        else:
            lasts = self.draw("lasting", prompt) < FALSE_ALARMS * self.lasting
            aligned = not lasts and self.draw("judge", prompt, sample) >= FALSE_ALARMS * (1 - self.lasting)
        named = "" if aligned else "Violated principles: accurate\n"
        return f"{named}Final Judgement (Yes or No): {'Yes' if aligned else 'No'}"

    def draw(self, *parts) -> float:
        digest = hashlib.blake2b(repr((self.seed, *parts)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


class Run(NamedTuple):
    """What one run of the two stages gave; shares of the pairs of D_text, or of the truly flawed prompts."""

    pairs: int
    precise: float
    """of the pairs, whose loser was truly flawed"""
    found: float
    """of the flawed prompts, which are in a pair"""
    mended: float
    """of the pairs, whose winner is truly fine"""
    calls: int


def prompts(seed: int) -> Iterator[Prompt]:
    dice = Dice(seed, 0)
    for at in range(N):
        query_id, text = content_id(at), f"{at} {'-' if dice.draw('flawed', at) < FLAWED else '+'} 0"
        yield Prompt(
            query_id=query_id, query=str(at), split="dpo", safety=False, prompt_id=content_id(query_id, text),
            prompt=text, arm="sft", sample=0, written_by=BY,
        )  # fmt: skip


def run(rows: list[Prompt], seed: int, params, votes: int, verify: int, lasting: float = 0.0) -> Run:
    teacher = Dice(seed, lasting)
    judged = [row for row in critique(rows, teacher, params.critique, votes) if isinstance(row, Critique)]
    sections = params.refine.model_copy(update={"verify": verify}), params.critique
    better = {row.prompt_id: row for row in refine(judged, teacher, *sections) if isinstance(row, Refine)}
    pairs = [pair for pair in d_text(judged, better, params.dpo) if hasattr(pair, "pair_id")]
    true = sum("-" in pair.rejected for pair in pairs)
    flawed = sum("-" in row.prompt for row in rows)
    mended = sum("+" in pair.chosen for pair in pairs)
    return Run(len(pairs), true / len(pairs), true / flawed, mended / len(pairs), teacher.calls)


CASES = {
    "votes 1, verify 0 (the papers)": dict(votes=1, verify=0),
    "votes 3": dict(votes=3, verify=0),
    "votes 5": dict(votes=5, verify=0),
    "verify 1": dict(votes=1, verify=1),
    "verify 2": dict(votes=1, verify=2),
    "votes 3, verify 2": dict(votes=3, verify=2),
    "votes 1, half of the false alarms lasting": dict(votes=1, verify=0, lasting=0.5),
    "votes 3, half of the false alarms lasting": dict(votes=3, verify=0, lasting=0.5),
}


def short_words(folder: Path):
    """Return the laptop's params with templates of one line: the dice read no more, and the run takes seconds."""
    params = load_params(ROOT / "params.yaml")
    texts = {"critique": f"Judge {VIDEO}", "refine": f"Refine {VIDEO}"}
    for name, text in texts.items():
        (folder / f"{name}.jinja").write_text(text)
    changed = {name: getattr(params, name).model_copy(update={"template": folder / f"{name}.jinja"}) for name in texts}
    return params.model_copy(update=changed)


def table(found: dict[str, list[Run]]) -> list[str]:
    base = found["votes 1, verify 0 (the papers)"]
    lines = [
        "| setting | pairs | loser truly flawed | flawed prompts found | winner truly fine | calls | to the papers' |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        mean = Run(*(statistics.mean(values) for values in zip(*runs, strict=True)))
        low, high = (pick(run.precise for run in runs) for pick in (min, max))
        more = [run.calls / other.calls - 1 for run, other in zip(runs, base, strict=True)]
        lines.append(
            f"| {name} | {mean.pairs:.0f} | {mean.precise:.3f} ({low:.3f} to {high:.3f}) | {mean.found:.3f} "
            f"| {mean.mended:.3f} | {mean.calls:.0f} | {statistics.mean(more):+.1%} (at most {max(more):+.1%}) |"
        )
    return lines


def main() -> None:
    basis = read_basis("votes")
    found: dict[str, list[Run]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory(prefix="vpo-votes-") as folder:
        params = short_words(Path(folder))
        for seed in SEEDS:
            rows = list(prompts(seed))
            for name, case in CASES.items():
                found[name].append(run(rows, seed, params, **case))
    lines = [
        "# Votes and verification: what they buy, and for how many calls",
        "",
        f"`python -m bench.votes` (a minute): {N:,} prompts, {FLAWED:.0%} truly flawed; a judge with "
        f"{FALSE_ALARMS:.0%} false alarms and recall {RECALL}, its",
        f"slips independent but where a row says so; a refiner that fails {REFINER_FAILS:.0%} of the time. "
        "The stages are the real ones, judge and",
        f"refiner are dice; means (and range) of {len(SEEDS)} seeds. Calls are those of critique and refine together.",
        "",
        *table(found),
        "",
        "What a judge gets wrong in every sample no vote mends: then only another judge helps, or a template.",
    ]
    write_page("votes", "\n".join(lines) + "\n", basis)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
