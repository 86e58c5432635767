import pytest

from pipeline.world.vocabulary import is_readable


@pytest.mark.parametrize(
    ("query", "readable"),
    [
        ("a dog runs on grass", True),
        ("a ceramic hat in the snow", True),
        ("un chien mange dans la cuisine", False),
        ("собака бежит по траве", False),
        ("!!!", False),
    ],
)
def test_a_query_is_readable_where_half_its_words_are_the_worlds(query, readable):
    assert is_readable(query, 600, 0) is readable
