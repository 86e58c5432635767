"""The forms in which a model may answer: the papers' markers in text, or JSON of a schema; one parser for both.

A form is called with the reply's text. An endpoint with structured output gets `response_format`; whatever comes
back, a reply that is one JSON object with just these fields is read as such, and every other one as text. User text
stands inside strings either way, and can decide nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.llm.calls.answers import is_whole
from pipeline.llm.replies import PRINCIPLES, Verdict, parse_prompt, parse_recheck, parse_refined, parse_verdict
from schemas.seams import Unparsed

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """A named answer: JSON-schema types of its fields, and how text with markers and how JSON become a value.

    Calling it raises Unparsed as the parsers of pipeline.llm.replies do.
    """

    name: str
    fields: Mapping[str, Mapping[str, Any]]
    of_text: Callable[[str], T]
    of_json: Callable[[Mapping[str, Any]], T]

    def __call__(self, reply: str) -> T:
        fields = self._read_object(reply)
        return self.of_text(reply) if fields is None else self.of_json(fields)

    @property
    def response_format(self) -> dict[str, Any]:
        """What is sent to the API: strict, every field required, none besides."""
        schema = {
            "type": "object",
            "properties": {name: dict(kind) for name, kind in self.fields.items()},
            "required": list(self.fields),
            "additionalProperties": False,
        }
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": schema}}

    def _read_object(self, reply: str) -> dict[str, Any] | None:
        text = reply.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        if not text.startswith("{"):
            return None
        try:
            fields = json.loads(text, object_pairs_hook=_refuse_field_twice)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or fields.keys() != self.fields.keys():
            return None
        if not all(_fits(fields[name], kind) for name, kind in self.fields.items()):
            raise Unparsed("wrong_type")
        return fields


def _refuse_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands there twice")
    return fields


def _fits(value: Any, kind: Mapping[str, Any]) -> bool:
    if kind["type"] == "array":
        return isinstance(value, list) and all(item in kind["items"]["enum"] for item in value)
    if kind["type"] == "string":  # JSON can spell half a character in whole ones
        return isinstance(value, str) and is_whole(value)
    return isinstance(value, bool)


def _read_prompt(text: str) -> str:
    # through the markers' parser: the same words count as empty, a placeholder or none of ours
    return parse_prompt(text if "[[" in text else f"[[start]]{text}[[end]]")


def _read_verdict(fields: Mapping[str, Any]) -> Verdict:
    """c is kept in the paper's form, so that a refinement reads the same words however the critique came."""
    violated = tuple(name for name in PRINCIPLES if name in fields["violated_principles"])
    judgement = "Yes" if fields["aligned"] else "No"
    steps = " ".join(fields["step_by_step_verification"].split())
    text = (
        f"Step-by-step verification: {steps}\nViolated principles: {', '.join(violated) or 'none'}\n"
        f"Final Judgement (Yes or No): {judgement}"
    )
    return parse_verdict(text)


_TEXT, _YES = {"type": "string"}, {"type": "boolean"}
PROMPT = Form("prompt", {"prompt": _TEXT}, parse_prompt, lambda fields: _read_prompt(fields["prompt"]))
REFINED = Form(
    "refined_prompt",
    {"reflection": _TEXT, "final_refined_prompt": _TEXT},
    parse_refined,
    lambda fields: _read_prompt(fields["final_refined_prompt"]),
)
VERDICT = Form(
    "verdict",
    {
        "step_by_step_verification": _TEXT,
        "violated_principles": {"type": "array", "items": {"type": "string", "enum": list(PRINCIPLES)}},
        "aligned": _YES,
    },
    parse_verdict,
    _read_verdict,
)
RECHECK = Form("recheck", {"reason": _TEXT, "unsafe": _YES}, parse_recheck, lambda fields: fields["unsafe"])
