"""The types of the sections `teacher` and `judge` of params.yaml, and of any address that speaks the OpenAI API."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from schemas.needs import Needs
from schemas.section import BackendParams, Section, find_url_fault, keys_of_backend

OPENAI = "https://api.openai.com/v1"
"""the address where base_url is null"""
OPENAI_KEY = "OPENAI_API_KEY"
"""the variable where api_key_env is null"""
OFFLINE_TEACHERS = ("grammar", "checker")


class EndpointParams(Section):
    """How an address that speaks the OpenAI API is asked; shared by the teacher, the judge and a served policy."""

    model: str = Field(min_length=1)
    base_url: str | None = None
    api_version: str | None = Field(default=None, description="Azure's; set, it makes base_url an Azure resource.")
    api_key_env: str | None = Field(default=None, description="Variable that holds the key; null: OPENAI_API_KEY.")
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Longest wait for one answer.")
    attempts: int | None = Field(
        default=None, ge=1, description="Requests for one answer that may fail; a 429 is not counted."
    )
    max_concurrency: int = Field(ge=1)
    requests_per_minute: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Null: learnt from what the endpoint says or refuses."
    )
    tokens_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    usd_per_million_input_tokens: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Null: the price that genai-prices knows."
    )
    usd_per_million_output_tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    budget_usd: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="All that this project may ever spend on this model."
    )
    mode: Literal["direct", "batch"] | None = Field(
        default=None, description="batch: the Batch API, at half the price; null: direct."
    )

    @property
    def snapshot_rule(self) -> Literal["stop", "new", "mix"] | None:
        """What a change of the model that answers does; None where nobody looks, since weights are named otherwise."""
        return None

    @field_validator("base_url")
    @classmethod
    def is_an_address(cls, base_url: str | None) -> str | None:
        if base_url is not None and (fault := find_url_fault(base_url)):
            raise ValueError(fault)
        return base_url


class OfflineTeacherParams(BackendParams):
    """The small stand-in for an LLM."""

    NEEDS: ClassVar[Needs] = Needs(device="cpu", stand_in=True)

    backend: Literal["offline"]
    model: str = Field(min_length=1)
    max_concurrency: int = Field(ge=1, description="Not read: it stands in the file for openai.")
    parse_attempts: int = Field(ge=1, description="Not read: it stands in the file for openai.")

    @model_validator(mode="after")
    def offline_knows_the_model(self) -> "OfflineTeacherParams":
        if self.model not in OFFLINE_TEACHERS:
            raise ValueError(f"model must be one of {', '.join(OFFLINE_TEACHERS)} for backend offline")
        return self


class OpenAITeacherParams(BackendParams, EndpointParams):
    """An LLM behind an address that speaks the OpenAI API."""

    NEEDS: ClassVar[Needs] = Needs(device="host", extras=("openai",), paid_by="call", spreads=False)

    backend: Literal["openai"]
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    response_format: Literal["markers", "json_schema"] | None = Field(
        default=None,
        description="markers: the papers' text markers (null too); json_schema: structured output of the endpoint.",
    )
    parse_attempts: int = Field(ge=1, description="How often an answer that cannot be parsed is asked for.")
    retry_truncated: bool | None = Field(
        default=None,
        description="Ask once more where an answer is cut or empty, at its price again; a limit is doubled.",
    )
    on_snapshot_change: Literal["stop", "new", "mix"] | None = Field(
        default=None,
        description="When the endpoint answers by another model than the stored answers name. stop (null too): the run "
        "ends; new: it ends, and the next buys anew what the other answered; mix: both are used.",
    )

    @property
    def snapshot_rule(self) -> Literal["stop", "new", "mix"]:
        """What a change of the model that answers does."""
        return self.on_snapshot_change or "stop"

    @model_validator(mode="after")
    def the_model_is_an_endpoints(self) -> "OpenAITeacherParams":
        if self.base_url is None and self.model in OFFLINE_TEACHERS:
            raise ValueError(f"model is still {self.model}, an offline teacher's: set it to one that the endpoint has")
        return self

    @property
    def needs(self) -> Needs:
        return replace(self.NEEDS, keys=(self.api_key_env or OPENAI_KEY,), address=self.base_url or OPENAI)


_Teacher = OfflineTeacherParams | OpenAITeacherParams
TeacherParams = Annotated[_Teacher, Field(discriminator="backend"), BeforeValidator(keys_of_backend(_Teacher))]
"""the teacher and the judge: an LLM behind an API, or the offline stand-in"""


def _fill_defaults(section: Any) -> Any:
    """Return an arm's own teacher with what it leaves out."""
    return {"max_concurrency": 8, "parse_attempts": 3, **section} if isinstance(section, Mapping) else section


ArmTeacherParams = Annotated[TeacherParams, BeforeValidator(_fill_defaults)]
"""an LLM of an arm's own: only backend and model must be named"""
