"""Typed things as tables."""

from docs.tables import kind_of, params_lines
from schemas.critique import Critique

TEXT = """\
# head
base:
  seed: 0                  # ours: none published
  path:                    # the file # or the dataset
  kinds:
    - email                # ours
    - phone
  inner:
    beta: 0.1
last: '#1'
"""


def test_every_key_has_its_value_and_comment():
    assert list(params_lines(TEXT)) == [
        ("base", "", ""),
        ("base.seed", "0", "ours: none published"),
        ("base.path", "", "the file # or the dataset"),
        ("base.kinds", "- email - phone", "ours"),
        ("base.inner", "", ""),
        ("base.inner.beta", "0.1", ""),
        ("last", "'#1'", ""),
    ]


def test_types_are_said_in_words():
    schema = Critique.model_json_schema()["properties"]
    assert kind_of(schema["aligned"]) == "true or false"
    assert kind_of(schema["split"]) == "<code>sft</code>, <code>dpo</code>, <code>test</code>"
    assert kind_of(schema["votes"]) == 'list of <a href="#Vote">Vote</a>'
    assert kind_of({"anyOf": [{"type": "number"}, {"type": "null"}]}) == "number or null"
