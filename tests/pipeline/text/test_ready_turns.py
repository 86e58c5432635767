import pytest

from pipeline.text.ready_turns import Exchange, Misfit, read_content, read_exchange

SYSTEM, USER, ANSWER = ({"role": role, "content": f" {role} "} for role in ("system", "user", "assistant"))


@pytest.mark.parametrize(
    ("value", "exchange"),
    [
        ("a dog", Exchange("a dog", None)),
        (USER, Exchange("user", None)),
        ([SYSTEM, USER, ANSWER], Exchange("user", "assistant", has_system=True)),
        ([{"from": "human", "value": "x"}, {"from": "gpt", "value": "p"}], Exchange("x", "p")),
        (
            [{"role": "Developer", "content": "s"}, {"role": "USER", "content": "x"}],
            Exchange("x", None, has_system=True),
        ),
        ([{"content": "p", "role": "model"}], Exchange(None, "p")),
    ],
)
def test_who_says_what_is_found_by_roles(value, exchange):
    assert read_exchange("messages", value, bare_role="user") == exchange


@pytest.mark.parametrize(
    "value", [[], [SYSTEM], [ANSWER, USER], [USER, USER], [USER, ANSWER, USER], [USER, SYSTEM], "  ", 3]
)
def test_other_turns_are_refused(value):
    with pytest.raises(Misfit):
        read_exchange("messages", value, bare_role="user")


def test_parts_of_type_text_are_one_text_and_others_are_refused():
    assert read_content("m", [{"type": "text", "text": "a "}, {"type": "text", "text": "dog"}]) == "a dog"
    for content in (None, [], [{"type": "image_url", "text": "x"}], [3]):
        with pytest.raises(Misfit, match="where text belongs"):
            read_content("m", content)
