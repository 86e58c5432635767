"""Each form of a ready set gives the same query and answers; what no form fits is refused with what is there."""

import json

import pytest

from pipeline.text.ready_forms import DPO_FORMS, SFT_FORMS, Frame, find_query, read_record
from pipeline.text.ready_turns import Misfit

X, P, GOOD, BAD = "a dog on grass", "A dog runs.", "A dog runs over the grass.", "dog"
OURS = Frame("Rewrite the query.\nQuery: <query>", "</query>\nVideo prompt:")


def user(text=X):
    return {"role": "user", "content": text}


def assistant(text=P):
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "You rewrite prompts."}
FILLED = f"{OURS.before} {X} {OURS.after}"
RELEASED = f"In this task, expand the user's short query.\n\nUser Query:{X}\n\nVideo Prompt:"
SFT = {
    "ours": {"query": X, "prompt": P},
    "a list of two": [X, P],
    "openai": {"messages": [user(), assistant()]},
    "openai with a system turn": {"messages": [SYSTEM, user(), assistant()]},
    "openai in parts": {"messages": [user([{"type": "text", "text": X}]), assistant()]},
    "vpo": {"messages": [user(RELEASED), assistant()]},
    "sharegpt": {"conversations": [{"from": "human", "value": X}, {"from": "gpt", "value": P}]},
    "sharegpt with system": {
        "system": "Rewrite.", "conversations": [{"from": "human", "value": X}, {"from": "gpt", "value": P}],
    },
    "alpaca": {"instruction": X, "input": "", "output": P},
    "alpaca with input": {"instruction": "Write a video prompt for the query.", "input": X, "output": P},
    "alpaca with cues": {"instruction": RELEASED, "output": P, "history": []},
    "trl": {"prompt": X, "completion": f" {P}"},
    "trl conversational": {"prompt": [user()], "completion": [assistant()]},
    "published": {"prompt": [user(FILLED)], "completion": [assistant()], "query_id": "x", "refined": False},
    "keys in capitals": {" Query": X, "PROMPT ": P},
    "all keys of a table": {"query": X, "prompt": P, "messages": None, "chosen": None},
}  # fmt: skip
DPO = {
    "ours": {"query": X, "chosen": GOOD, "rejected": BAD},
    "vpo": {"messages": [user(RELEASED)], "chosen": assistant(GOOD), "rejected": assistant(BAD)},
    "vpo with a system turn": {
        "messages": [SYSTEM, user(RELEASED)], "chosen": assistant(GOOD), "rejected": assistant(BAD),
    },
    "trl explicit": {"prompt": X, "chosen": f" {GOOD}", "rejected": f" {BAD}"},
    "trl explicit conversational": {"prompt": [user()], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]},
    "trl implicit": {"chosen": f"{X} {GOOD}", "rejected": f"{X} {BAD}"},
    "trl implicit with an instruction": {"chosen": f"{RELEASED} {GOOD}", "rejected": f"{RELEASED} {BAD}"},
    "trl implicit conversational": {"chosen": [user(), assistant(GOOD)], "rejected": [user(), assistant(BAD)]},
    "hh": {"chosen": f"\n\nHuman: {X}\n\nAssistant: {GOOD}", "rejected": f"\n\nHuman: {X}\n\nAssistant: {BAD}"},
    "ultrafeedback": {
        "prompt": X, "chosen": [user(), assistant(GOOD)], "rejected": [user(), assistant(BAD)],
        "messages": [user(), assistant(GOOD)], "prompt_id": "7",
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": X}],
        "chosen": {"from": "gpt", "value": GOOD}, "rejected": {"from": "gpt", "value": BAD},
    },
    "alpaca": {"instruction": "Write a video prompt.", "input": X, "chosen": GOOD, "rejected": BAD},
    "openai": {
        "input": {"messages": [user()]}, "preferred_output": [assistant(GOOD)],
        "non_preferred_output": [assistant(BAD)],
    },
    "published": {"prompt": [user(FILLED)], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]},
}  # fmt: skip


@pytest.mark.parametrize("form", SFT)
def test_each_form_of_d_sft_says_the_same(form):
    parts = read_record(SFT[form], SFT_FORMS)
    assert (find_query(parts, OURS), parts.answers) == (X, (P,))


@pytest.mark.parametrize("form", DPO)
def test_each_form_of_d_dpo_says_the_same(form):
    parts = read_record(DPO[form], DPO_FORMS)
    assert (find_query(parts, OURS), parts.answers) == (X, (GOOD, BAD))


@pytest.mark.parametrize(("forms", "of"), [(SFT, SFT_FORMS), (DPO, DPO_FORMS)])
def test_the_order_of_keys_says_nothing(forms, of):
    for record in forms.values():
        if isinstance(record, dict):
            turned = dict(reversed(record.items()))
            assert read_record(turned, of) == read_record(record, of)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"messages": [assistant(), user()]}, "the turns in messages are assistant, user; expected one user turn"),
        ({"messages": [user(), assistant(), user(), assistant()]}, "are user, assistant, user, assistant; expected"),
        ({"messages": [user(), user(), assistant()]}, "are user, user, assistant; expected"),
        ({"messages": [user(), SYSTEM, assistant()]}, "are user, system, assistant; expected"),
        ({"messages": [{"role": "tool", "content": "x"}, assistant()]}, "role 'tool' in messages"),
        ({"messages": [{"who": "user", "content": "x"}, assistant()]}, "has the keys who, content; expected role"),
        ({"messages": [user()]}, "messages has no assistant turn"),
        ({"messages": [user(""), assistant()]}, "the user turn in messages is empty"),
        ({"messages": []}, "the turns in messages are none"),
        ({"messages": [user([{"type": "image_url"}]), assistant()]}, "holds a list where text belongs"),
        ({"conversations": [{"from": "gpt", "value": P}, {"from": "human", "value": X}]}, "are assistant, user"),
        ({"prompt": [assistant()], "completion": [user()]}, "prompt has no user turn"),
        ({"prompt": X, "completion": [user()]}, "completion has no assistant turn"),
        ({"instruction": X, "output": [GOOD, BAD]}, "output holds a text where a turn"),
        ({"instruction": X, "output": P, "history": [["a", "b"]]}, "history holds earlier turns"),
        ({"query": X, "prompt": P, "completion": GOOD}, "says another thing"),
        ({"query": X, "prompt": P, "messages": [user("a cat"), assistant()]}, "says another thing"),
        ({"text": X}, "its keys are text; expected"),
        ({"prompt": X, "response": P}, "its keys are prompt, response; expected"),
        ({"query": 3, "prompt": P}, "query is a number where a text belongs"),
        ({"query": X, "Query": "a cat", "prompt": P}, "two keys are 'query'"),
        ([X, P, "third"], "a list; expected a text for the query"),
        ({"prompt": X, "completion": P, "label": False}, "label is false: it says that the answer is a bad one"),
        ({"conversations": [user(), assistant()], "kto_tag": False}, "kto_tag is false"),
        ({"messages": [user(), assistant() | {"weight": 0}]}, "has weight 0"),
        ({"query": "a cat", "messages": [user(), assistant()]}, "its query 'a cat' is not in the user turn"),
        ({"prompt": X.encode(), "completion": P}, "prompt holds bytes where a turn"),
        ([[X, P], [X, P]], "a list; expected"),
    ],
)
def test_what_is_no_d_sft_is_refused_with_what_is_there(record, says):
    with pytest.raises(Misfit, match=says.replace("[", r"\[")):
        read_record(record, SFT_FORMS)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"prompt": X, "completion": P, "label": True}, "its keys are prompt, completion, label; expected"),
        ({"chosen": assistant(GOOD), "rejected": assistant(BAD)}, "expected the same user turn in chosen and rejected"),
        ({"chosen": [user(), assistant(GOOD)], "rejected": [user("a cat"), assistant(BAD)]}, "the same user turn"),
        ({"prompt": X, "chosen": [user("a cat"), assistant(GOOD)], "rejected": assistant(BAD)}, "begins with another"),
        ({"chosen": GOOD, "rejected": BAD}, "no common beginning"),
        ({"chosen": f"{X} a", "rejected": f"{X} b", "question": X}, "question beside chosen and rejected"),
        ({"chosen": f"Human: {X}\n\nAssistant: a\n\nHuman: go on\n\nAssistant: b",
          "rejected": f"Human: {X}\n\nAssistant: c"}, "more turns are written"),
        ({"query": X, "prompt": "a cat", "chosen": GOOD, "rejected": BAD}, "says another thing"),
        ({"messages": [user(), assistant("third")], "chosen": GOOD, "rejected": BAD}, "is none of"),
        ([X, GOOD, BAD], "a list; expected an object"),
        ({"query": X, "chosen": user(GOOD), "rejected": BAD}, "chosen has no assistant turn"),
    ],
)  # fmt: skip
def test_what_is_no_d_dpo_is_refused_with_what_is_there(record, says):
    with pytest.raises(Misfit, match=says):
        read_record(record, DPO_FORMS)


def test_a_key_that_names_the_query_beside_its_turns_says_what_it_is():
    parts = read_record({"query": X, "messages": [user(f"Please film this: {X} Thanks."), assistant()]}, SFT_FORMS)
    assert (parts.request, parts.answers) == (X, (P,))


def test_a_query_between_cues_keeps_its_own_quotes_and_lines():
    text = 'Expand it.\n\nUser Query: a sign that says "open"\nand a cat\n\n### Video Prompt:'
    assert find_query(read_record({"messages": [user(text), assistant()]}, SFT_FORMS), None) == (
        'a sign that says "open"\nand a cat'
    )


def test_a_record_of_json_is_read_as_one_of_a_table():
    for record in (*SFT.values(), *DPO.values()):
        assert json.loads(json.dumps(record)) == record


def test_a_sign_that_is_longer_in_lower_case_moves_no_cut():
    record = {"prompt": "İİİ expand it. The query: a dog on grass Video Prompt:", "completion": P}
    assert find_query(read_record(record, SFT_FORMS), None) == X


@pytest.mark.parametrize("text", [f"\n\nHuman: {X}\n\nAssistant:", f"User: {X}", f"### Human: {X}\n### Assistant:"])
def test_turns_written_into_a_prompt_are_read(text):
    for record, forms in (
        ({"prompt": text, "completion": P}, SFT_FORMS),
        ({"prompt": text, "chosen": GOOD, "rejected": BAD}, DPO_FORMS),
        ({"instruction": text, "output": P}, SFT_FORMS),
        ({"messages": [user(text), assistant()]}, SFT_FORMS),
    ):
        assert find_query(read_record(record, forms), OURS) == X


@pytest.mark.parametrize("sides", [("A dog runs.", "A cat sits."), ("The sea.", "The hill."), ("dog A", "dog B")])
def test_a_common_beginning_of_one_word_is_no_query(sides):
    with pytest.raises(Misfit, match="no common beginning"):
        read_record(dict(zip(("chosen", "rejected"), sides, strict=True)), DPO_FORMS)
