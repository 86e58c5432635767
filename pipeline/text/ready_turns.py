"""Turns of a chat as others write them -> who says what: names of roles and keys differ, the order never decides."""

from typing import Any, NamedTuple

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant",
}  # fmt: skip
"""role as written -> role. LLaMA-Factory: data/README.md (human, gpt); OpenAI: developer; Gemma: model."""
KEYS = (("role", "content"), ("from", "value"))
EXPECTED = "expected one user turn and then one assistant turn (a system turn may stand before them)"


class Misfit(ValueError):
    """A record that cannot be read; its words say what is there and what is expected."""


class Turn(NamedTuple):
    """Role (system, user or assistant) and text."""

    role: str
    text: str


class Exchange(NamedTuple):
    """What the user asks and the assistant answers, None where one is silent; whether a system turn is there."""

    request: str | None
    answer: str | None
    has_system: bool = False


def read_exchange(name: str, value: Any, bare_role: str) -> Exchange:
    """Return the exchange in `value`, the value of key `name`: a turn, several, or a bare text that `bare_role` says.

    Raises Misfit for unknown roles, and for other turns than (system,) user, assistant, each at most once.
    """
    if isinstance(value, str):
        turns = [Turn(bare_role, value)]
    else:
        turns = [_read_turn(name, item) for item in (value if isinstance(value, list) else [value])]
    spoken = turns[:]
    while spoken and spoken[0].role == "system":
        spoken.pop(0)
    roles = [turn.role for turn in spoken]
    if roles not in (["user"], ["assistant"], ["user", "assistant"]):
        listed = ", ".join(turn.role for turn in turns) or "none"
        raise Misfit(f"the turns in {name} are {listed}; {EXPECTED}")
    by_role = {turn.role: turn.text.strip() for turn in spoken}
    if empty := [role for role, text in by_role.items() if not text]:
        raise Misfit(f"the {empty[0]} turn in {name} is empty")
    return Exchange(by_role.get("user"), by_role.get("assistant"), len(spoken) < len(turns))


def _read_turn(name: str, item: Any) -> Turn:
    if not isinstance(item, dict):
        raise Misfit(f"{name} holds {describe(item)} where a turn with role and content belongs")
    for role_key, text_key in KEYS:
        if role_key in item and text_key in item:
            role = item[role_key]
            if not isinstance(role, str) or role.strip().lower() not in ROLES:
                raise Misfit(f"role {role!r} in {name}; expected system, user (human) or assistant (gpt)")
            if ROLES[role.strip().lower()] == "assistant" and item.get("weight") == 0:
                raise Misfit(f"the assistant turn in {name} has weight 0, so it is none to learn; take the record out")
            return Turn(ROLES[role.strip().lower()], read_content(name, item[text_key]))
    raise Misfit(f"a turn in {name} has the keys {list_keys(item)}; expected role and content, or from and value")


def read_content(name: str, content: Any) -> str:
    """Return the text of a turn's content: a string, or parts of type text. Raises Misfit for any other part."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content
        ]
        if all(isinstance(text, str) for text in texts):
            return "".join(str(text) for text in texts)
    raise Misfit(f"a turn in {name} holds {describe(content)} where text belongs")


def describe(value: Any) -> str:
    """Return what kind of JSON value it is."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
        bytes: "bytes",
    }
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def list_keys(record: dict[str, Any]) -> str:
    """Return the keys of an object as an error names them."""
    return ", ".join(str(key)[:40] for key in list(record)[:20]) or "none"
