import pytest
from pydantic import ValidationError

from schemas import params_teacher
from tests.support.bounds import bounds_of
from tests.support.params import with_values


def test_a_real_teacher_needs_a_key_and_is_paid_by_the_call(laptop):
    needs = with_values(laptop.teacher, backend="openai", model="gpt-4o").needs
    assert (needs.keys, needs.address) == (("OPENAI_API_KEY",), "https://api.openai.com/v1")
    assert (needs.paid_by, needs.device, needs.extras) == ("call", "host", ("openai",))


def test_the_named_variable_and_address_come_first(laptop):
    needs = with_values(laptop.teacher, backend="openai", base_url="http://host/v1", api_key_env="MINE").needs
    assert (needs.keys, needs.address) == (("MINE",), "http://host/v1")


def test_the_offline_teacher_needs_nothing(laptop):
    needs = laptop.teacher.needs
    assert (needs.keys, needs.address, needs.paid_by, needs.extras) == ((), None, None, ())


def test_the_offline_teacher_knows_its_models(laptop):
    with pytest.raises(ValidationError, match="model must be one of grammar, checker for backend offline"):
        with_values(laptop.teacher, model="gpt-4o")


BOUNDS = {
    "EndpointParams": {
        "model": "length >= 1", "timeout_s": "> 0", "attempts": ">= 1", "max_concurrency": ">= 1",
        "requests_per_minute": "> 0", "tokens_per_minute": "> 0", "usd_per_million_input_tokens": ">= 0",
        "usd_per_million_output_tokens": ">= 0", "budget_usd": ">= 0",
    },
    "OfflineTeacherParams": {
        "model": "length >= 1", "max_concurrency": ">= 1", "parse_attempts": ">= 1",
    },
    "OpenAITeacherParams": {
        "temperature": ">= 0, <= 2", "top_p": "> 0, <= 1", "max_completion_tokens": "> 0", "parse_attempts": ">= 1",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params_teacher, section), BOUNDS[section]) == BOUNDS[section]
