"""Plants faults in the code, one at a time, and shows which test turns red: `python -m bench.wiring`.

Each fault is a line of the graph's wiring exchanged in a copy of the project. A fault that no test notices ends the run
with 1. Faults in a finished run's data are planted by tests/test_wiring.py; results in bench/results/wiring.md.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.page import read_basis, write_page

ROOT = Path(__file__).resolve().parents[1]


class Fault(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS = [
    Fault("D_video: chosen and rejected exchanged", "pipeline/d_video.py",
          "chosen, rejected = better.row, worse.row", "chosen, rejected = worse.row, better.row",
          "tests/pipeline/test_d_video.py"),
    Fault("D_video: clips of different queries paired", "pipeline/d_video.py",
          'groupby(rows, key=attrgetter("query_id"))', 'groupby(rows, key=attrgetter("sample"))',
          "tests/pipeline/test_d_video.py"),
    Fault("D_video: the gap is not asked for", "pipeline/d_video.py",
          "subtract(better.score, worse.score) > gap", "better.score > worse.score",
          "tests/pipeline/test_d_video.py"),
    Fault("D_video: dominance is not asked for", "pipeline/d_video.py",
          'if params.dominance == "question":', 'if params.dominance == "never":', "tests/pipeline/test_d_video.py"),
    Fault("D_text: flipped", "pipeline/d_text.py",
          "chosen=row.p_refined,\n        rejected=row.prompt,", "chosen=row.prompt,\n        rejected=row.p_refined,",
          "tests/pipeline/test_d_text.py"),
    Fault("D_text: empty", "pipeline/d_text.py", "        if pairs:\n", "        if not pairs:\n",
          "tests/pipeline/test_d_text.py"),
    Fault("D_dpo: text pairs never enter", "pipeline/d_dpo.py",
          '"text": params.text_feedback and arm.text_feedback', '"text": False', "tests/pipeline/test_d_dpo.py"),
    Fault("D_dpo: the arm's labels are not flipped", "pipeline/d_dpo.py",
          'flip = labels == "flipped"', 'flip = labels == "never"', "tests/pipeline/test_d_dpo.py"),
    Fault("D_SFT: keeps p where the critic found a flaw", "pipeline/d_sft.py",
          "if row.aligned:", "if row.aligned or refined:", "tests/pipeline/test_d_sft.py"),
    Fault("critique: Yes is read as flawed", "pipeline/llm/replies.py",
          "aligned = _yes_or_no(reply, _VERDICT)", "aligned = not _yes_or_no(reply, _VERDICT)",
          "tests/pipeline/llm/test_replies.py"),
    Fault("critique: the judge of the eval lane is the teacher", "pipeline/critique.py",
          "params.judge if judge else params.teacher", "params.teacher", "tests/pipeline/test_critique.py"),
    Fault("queries: near-duplicates cross the splits", "pipeline/curation/split.py",
          "                    index.add([place])\n", "",
          "tests/pipeline/curation/test_split.py tests/pipeline/test_queries.py"),
    Fault("rollout: the samples of a query share their noise", "pipeline/backends/policy/transformers.py",
          "rollout/{seed}/{query_id}/{sample}", "rollout/{seed}/{query_id}",
          "tests/pipeline/backends/policy/test_transformers.py"),
    Fault("rollout: an arm reads the SFT model whatever its source", "pipeline/rollout.py",
          "Path(description.source)", "Path('data/models/sft')",
          "tests/pipeline/test_rollout.py"),
    Fault("render: flawed prompts are rendered", "pipeline/render.py",
          "if passed is not None and passed.get(row.prompt_id, False) is refused:", "if False:",
          "tests/pipeline/test_render.py"),
    Fault("render: siblings do not share their noise", "pipeline/render.py",
          "clip_seed(seed, row.query_id, index)", "clip_seed(seed, row.query_id, row.sample)",
          "tests/pipeline/test_render.py"),
    Fault("reward: scored against the prompt instead of the query", "pipeline/scoring/clip_scores.py",
          'if self.params.scored_text == "prompt" else clip.query', "",
          "tests/pipeline/test_reward.py"),
    Fault("D_video: the veto asks nothing", "pipeline/d_video.py",
          "        rules.append(is_as_safe)", "        pass", "tests/pipeline/test_d_video.py"),
    Fault("D_video: clips of the second seed are paired too", "pipeline/d_video.py",
          "for row in group if row.replicate == 0", "for row in group", "tests/pipeline/test_d_video.py"),
    Fault("score: a yes counts as no", "pipeline/scoring/formulas.py",
          "weight if answers[name] else -weight", "-weight if answers[name] else weight",
          "tests/pipeline/scoring/test_formulas.py"),
    Fault("replication: the second clips compared with themselves", "pipeline/scoring/replication.py",
          "subtract(siblings[pair.chosen_id][1], siblings[pair.rejected_id][1])",
          "subtract(siblings[pair.chosen_id][0], siblings[pair.rejected_id][0])",
          "tests/pipeline/scoring/test_replication.py"),
    Fault("reward: the clip of the shard's first place for all", "pipeline/video/clips.py",
          "file.seek(row.offset - tarfile.BLOCKSIZE)", "file.seek(0)", "tests/pipeline/video/test_clips.py"),
    Fault("sft: the instruction's tokens are trained", "train/sft.py",
          "completion_only_loss=True", "completion_only_loss=False", "tests/train/test_sft.py"),
    Fault("sft: the answer's end is not trained", "train/chat_template.jinja",
          "trim + '<|eot_id|>'", "trim", "tests/train/test_sft.py tests/train/test_tokenizer.py"),
    Fault("dpo: chosen and rejected exchanged on the way to TRL", "train/trl_rows.py",
          '"chosen": to_answer_turn(row.chosen)', '"chosen": to_answer_turn(row.rejected)',
          "tests/train/test_trl_rows.py"),
    Fault("dpo: the reference follows the policy", "train/dpo.py",
          "beta=train.beta,", "beta=train.beta, sync_ref_model=True, ref_model_mixup_alpha=1.0, "
          "ref_model_sync_steps=1,",
          "tests/train/test_dpo.py"),
    Fault("evaluate: an unsafe prompt counts as aligned", "pipeline/evaluation/arms.py",
          '"harmless" in row.violated', '"harmless" in ()', "tests/pipeline/test_evaluate.py"),
    Fault("serving: a flagged query is passed on raw", "pipeline/evaluation/serving.py",
          "return Reason.WITHHELD if safety else None", "return None", "tests/pipeline/evaluation/test_serving.py"),
    Fault("serving: a refusal is answered with the query", "pipeline/evaluation/serving.py",
          'if reason in REFUSALS or params.on_failure == "error":', 'if params.on_failure == "error":',
          "tests/pipeline/evaluation/test_serving.py"),
    Fault("evaluate: a served query counts as written", "pipeline/evaluation/arms.py",
          'for row in served if row.served == "prompt"', "for row in served",
          "tests/pipeline/evaluation/test_arms.py"),
    Fault("evaluate: what got worse is not said", "pipeline/evaluation/losses.py",
          "return row.high < 0 if sign > 0 else row.low > 0", "return False",
          "tests/pipeline/evaluation/test_losses.py"),
    Fault("D_video: scores are compared as floats", "pipeline/scoring/exact.py",
          "        return one - other\n", "        return Fraction(float(one) - float(other))\n",
          "tests/pipeline/scoring/test_exact.py"),
    Fault("training: a model that has learnt nothing passes", "train/effect.py",
          "if have_equal_weights(saved, origin):", "if False:", "tests/train/test_effect.py"),
    Fault("evaluate: differences are not paired by query", "pipeline/evaluate.py",
          "by_query[query] - base[query] for query in by_query if query in base",
          "a - b for a, b in zip(by_query.values(), base.values())", "tests/pipeline/test_evaluate.py"),
    Fault("votes: a lone No is believed", "pipeline/critique.py",
          "return no > yes and no >= min(votes, 2)", "return no >= 1", "tests/pipeline/test_critique.py"),
    Fault("votes: a Yes is asked again too", "pipeline/critique.py",
          "if first is None or first.aligned:", "if first is None:",
          "tests/pipeline/test_critique.py"),
    Fault("verify: what failed the critic goes on", "pipeline/refine.py",
          "if verdict is not None and not verdict.aligned:", "if False:", "tests/pipeline/test_refine.py"),
    Fault("teacher: samples share a key", "pipeline/llm/calls/engine.py",
          "host=host, body=body, sample=sample, **more", "host=host, body=body, **more",
          "tests/pipeline/llm/calls/test_engine.py"),
    Fault("teacher: the sampling is not in the key", "pipeline/llm/calls/engine.py",
          "host=host, body=body, sample=sample, **more", 'host=host, body=body["messages"], sample=sample, **more',
          "tests/pipeline/backends/teacher/test_openai.py"),
    Fault("teacher: the budget is not looked at", "pipeline/llm/calls/ledger.py",
          "if budget is not None and self.spent_usd >= budget:", "if budget is not None and self.spent_usd < 0:",
          "tests/pipeline/llm/calls/test_engine.py"),
    Fault("teacher: a 429 uses up an attempt", "pipeline/llm/calls/endpoint.py",
          'return Reply("limited", status, None, headers, why, waiting)',
          'return Reply("transient", status, None, headers, why, waiting)',
          "tests/pipeline/llm/calls/test_endpoint.py"),
    Fault("teacher: a cut answer passes as whole", "pipeline/llm/calls/answers.py",
          'if ended == "cut":', 'if ended == "never":', "tests/pipeline/llm/calls/test_answers.py"),
]  # fmt: skip


def copy(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def red(folder: Path, tests: str) -> str | None:
    """Return the first test that fails, or None where all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not graph",
         *tests.split()],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    return found[1] if found else f"pytest ended with {done.returncode}"


def main() -> None:
    lines = ["# Planted faults and the test that turns red", "", "| fault | file | red |", "|---|---|---|"]
    missed, basis = 0, read_basis("wiring")
    with tempfile.TemporaryDirectory(prefix="vpo-wiring-") as name:
        folder = Path(name)
        copy(folder)
        for tests in sorted({test for fault in FAULTS for test in fault.tests.split()}):
            if broken := red(folder, tests):
                sys.exit(f"{broken} is red without any fault")
        for fault in FAULTS:
            path = folder / fault.file
            text = path.read_text()
            if text.count(fault.old) != 1:
                sys.exit(f"{fault.file} holds {fault.old!r} {text.count(fault.old)} times, not once")
            path.write_text(text.replace(fault.old, fault.new))
            noticed = red(folder, fault.tests)
            path.write_text(text)
            missed += noticed is None
            test = f"`{noticed.split('::')[-1].split('[')[0]}`" if noticed else "**none**"
            lines.append(f"| {fault.name} | `{fault.file}` | {test} |")
            print(lines[-1], flush=True)
    lines += ["", f"{len(FAULTS)} planted, {len(FAULTS) - missed} noticed."]
    write_page("wiring", "\n".join(lines) + "\n", basis)
    print(lines[-1])
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
