from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from schemas.needs import Needs
from schemas.section import BackendParams, Section, is_empty, keys_of_backend, record, section_classes


class Paper(BackendParams):
    NEEDS: ClassVar[Needs] = Needs(device="cpu")

    backend: Literal["paper"]
    colour: str
    sheets: int


class Screen(BackendParams):
    NEEDS: ClassVar[Needs] = Needs(device="gpu")

    backend: Literal["screen", "wall"]
    colour: str
    width: int
    height: int | None = None
    cable: dict[str, int] | None = None


UNION = Paper | Screen
Surface = Annotated[UNION, Field(discriminator="backend"), BeforeValidator(keys_of_backend(UNION))]


class Room(Section):
    front: Surface
    sides: dict[str, Surface]


def made(**section):
    return TypeAdapter(Surface).validate_python(section)


def test_the_class_is_the_chosen_backends_and_empty_keys_of_others_may_stand_there():
    assert made(backend="paper", colour="red", sheets=2, width=None, cable={"a": None}) == Paper(
        backend="paper", colour="red", sheets=2
    )
    assert type(made(backend="wall", colour="red", width=3, sheets=None)) is Screen


def test_a_key_of_another_backend_that_is_set_names_those_that_read_it():
    with pytest.raises(ValidationError, match="width is read by screen and wall, not by paper: set it to null"):
        made(backend="paper", colour="red", sheets=2, width=5)


@pytest.mark.parametrize("section", [{"sheets": None}, {}])
def test_what_the_backend_cannot_do_without_is_named_whether_empty_or_away(section):
    with pytest.raises(ValidationError, match="backend paper needs sheets: set what is null"):
        made(backend="paper", colour="red", **section)


def test_a_misspelt_key_is_told_before_what_lacks():
    with pytest.raises(ValidationError) as fault:
        made(backend="paper", colour="red", sheet=2)
    assert {error["type"] for error in fault.value.errors()} == {"missing", "extra_forbidden"}


def test_a_key_that_all_require_is_pydantics_to_miss():
    with pytest.raises(ValidationError) as fault:
        made(backend="paper", sheets=2)
    assert [error["type"] for error in fault.value.errors()] == ["missing"]


def test_a_backend_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="'paper', 'screen', 'wall'"):
        made(backend="stone", colour="red")


def test_a_made_section_passes_as_it_is():
    paper = Paper(backend="paper", colour="red", sheets=2)
    assert TypeAdapter(Surface).validate_python(paper) is paper


def test_nothing_set_is_null_or_a_mapping_of_nothing():
    assert is_empty(None) and is_empty({"a": None, "b": {}})
    assert not is_empty(0) and not is_empty("") and not is_empty([]) and not is_empty({"a": False})


def test_section_classes_are_found_in_unions_and_mappings():
    fields = Room.model_fields
    assert section_classes(fields["front"].annotation) == [Paper, Screen]
    assert section_classes(fields["sides"].annotation) == [Paper, Screen]
    assert section_classes(int | None) == [] and section_classes(Literal["a"]) == []


def test_what_is_read_is_recorded_by_its_whole_key():
    front = {"backend": "paper", "colour": "red", "sheets": 2}
    room = Room.model_validate({"front": front, "sides": {"left": front}})
    keys = record(room)
    assert room.front.backend and room.sides["left"].colour
    assert keys == {"front.backend", "sides.left.colour"}
