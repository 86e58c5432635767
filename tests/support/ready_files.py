"""Ready sets in every form, as files: the same few queries, prompts and pairs in each."""

import json
from pathlib import Path

from pipeline.llm.template import Template

Record = dict[str, object] | list[str]
INSTRUCTION = "In this task, your goal is to expand the user's short query.\n\nUser Query:{}\n\nVideo Prompt:"
SUBJECTS = ("red fox", "grey cat", "small boat", "green train", "paper kite", "old mill", "young woman", "wooden cart")
PLACES = ("in the rain", "on a hill", "by the sea")
TRIPLES = [
    (f"{subject} {place}", f"A {subject} moves slowly {place}. The camera stays calm.", f"{subject}")
    for subject in SUBJECTS
    for place in PLACES
]
"""query, better prompt, worse prompt"""


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


SYSTEM = {"role": "system", "content": "You rewrite prompts."}
SFT = {
    "ours.jsonl": lambda x, p: {"query": x, "prompt": p},
    "prompt_a_video.json": lambda x, p: [x, p],
    "vpo.json": lambda x, p: {"messages": [user(INSTRUCTION.format(x)), assistant(p)]},
    "openai.jsonl": lambda x, p: {"messages": [SYSTEM, user(x), assistant(p)]},
    "alpaca.json": lambda x, p: {"instruction": "Write a video prompt.", "input": x, "output": p},
    "sharegpt.json": lambda x, p: {"conversations": [human(x), gpt(p)], "system": "You rewrite prompts."},
    "trl_standard.jsonl": lambda x, p: {"prompt": x, "completion": f" {p}"},
    "trl_conversational.jsonl": lambda x, p: {"prompt": [user(x)], "completion": [assistant(p)]},
    "published.parquet": lambda x, p: {"prompt": [user(filled(x))], "completion": [assistant(p)], "safety": False},
}
DPO = {
    "ours.jsonl": lambda x, c, r: {"query": x, "chosen": c, "rejected": r},
    "vpo.json": lambda x, c, r: {
        "messages": [SYSTEM, user(INSTRUCTION.format(x))], "chosen": assistant(c), "rejected": assistant(r),
    },
    "alpaca.json": lambda x, c, r: {"instruction": "Write a video prompt.", "input": x, "chosen": c, "rejected": r},
    "sharegpt.json": lambda x, c, r: {"conversations": [human(x)], "chosen": gpt(c), "rejected": gpt(r)},
    "trl_explicit.jsonl": lambda x, c, r: {"prompt": x, "chosen": f" {c}", "rejected": f" {r}"},
    "trl_implicit.jsonl": lambda x, c, r: {"chosen": f"{x} {c}", "rejected": f"{x} {r}"},
    "trl_explicit_chat.jsonl": lambda x, c, r: {
        "prompt": [user(x)], "chosen": [assistant(c)], "rejected": [assistant(r)],
    },
    "trl_implicit_chat.jsonl": lambda x, c, r: {
        "chosen": [user(x), assistant(c)], "rejected": [user(x), assistant(r)],
    },
    "openai.jsonl": lambda x, c, r: {
        "input": {"messages": [user(x)]}, "preferred_output": [assistant(c)], "non_preferred_output": [assistant(r)],
    },
    "published.parquet": lambda x, c, r: {
        "prompt": [user(filled(x))], "chosen": [assistant(c)], "rejected": [assistant(r)], "source": "text",
        "score_chosen": None, "safety": False,
    },
}  # fmt: skip


def filled(query: str) -> str:
    """Return the user's turn as stage `package` writes it."""
    root = Path(__file__).resolve().parents[2]
    return Template(root / "pipeline/templates/optimize.jinja", needs=("query",)).fill(query=query)


def write_ready(folder: Path, name: str, records: list[Record]) -> str:
    """Write records as the name's ending says; return the path."""
    path = folder / name
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def write_sft(folder: Path, name: str) -> str:
    return write_ready(folder, name, [SFT[name](query, better) for query, better, _ in TRIPLES])


def write_dpo(folder: Path, name: str) -> str:
    return write_ready(folder, name, [DPO[name](*triple) for triple in TRIPLES])
