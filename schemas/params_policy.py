"""The types of the sections `base_model`, `policy`, `rollout` and `optimize` of params.yaml: the model we train."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from schemas.needs import Needs, Weights
from schemas.params_teacher import EndpointParams
from schemas.section import COMMIT, BackendParams, Section, keys_of_backend


class TinyModelParams(BackendParams):
    """A tiny Llama and its tokenizer, made here."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("train",), stand_in=True)

    backend: Literal["tiny"]
    vocab_size: int = Field(gt=300)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)


class HubModelParams(BackendParams):
    """The pinned name of a real model."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("hub",))

    backend: Literal["hub"]
    name: str = Field(description="owner/name on the Hub, or a model's folder.")
    revision: str | None = Field(default=None, pattern=COMMIT, description="40-hex commit of a Hub model.")
    chat_template: Literal["plain"] | None = Field(
        default=None, description="A chat format of ours in place of the model's own; null: its own."
    )

    @property
    def needs(self) -> Needs:
        return replace(self.NEEDS, weights=Weights(self.name, self.revision))


_BaseModel = TinyModelParams | HubModelParams
BaseModelParams = Annotated[_BaseModel, Field(discriminator="backend"), BeforeValidator(keys_of_backend(_BaseModel))]
"""the policy before training"""


class PolicyEndpointParams(EndpointParams):
    """Where the policy is served (vLLM); `model` is the name under which it is, {folder} the name of its folder."""

    model: str = "{folder}"
    base_url: str
    max_concurrency: int = 64
    mode: Literal["direct"] | None = None

    @model_validator(mode="before")
    @classmethod
    def null_is_the_default(cls, section: Any) -> Any:
        if not isinstance(section, Mapping):
            return section
        return {key: value for key, value in section.items() if value is not None or key not in cls.model_fields}


Dtype = Literal["float32", "float16", "bfloat16"]
DTYPE = "The type in which trained weights are saved. Null: the base model's own."


class TransformersPolicyParams(BackendParams):
    """A folder of weights, run in this process."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("train",), of_base_model=True)

    backend: Literal["transformers"]
    template: str = Field(description="The words around the query for the optimizer.")
    dtype: Dtype | None = Field(default=None, description=DTYPE)
    batch_size: int = Field(gt=0)


class OpenAIPolicyParams(BackendParams):
    """A server of the folder of weights."""

    NEEDS: ClassVar[Needs] = Needs(device="host", extras=("openai",), paid_by="call", spreads=False)

    backend: Literal["openai"]
    template: str = Field(description="The words around the query for the optimizer.")
    dtype: Dtype | None = Field(default=None, description=DTYPE)
    batch_size: int = Field(gt=0, description="Not read: a server makes its own batches.")
    endpoint: PolicyEndpointParams

    @property
    def needs(self) -> Needs:
        key = self.endpoint.api_key_env
        return replace(self.NEEDS, keys=(key,) if key else (), address=self.endpoint.base_url)


_Policy = TransformersPolicyParams | OpenAIPolicyParams
PolicyParams = Annotated[_Policy, Field(discriminator="backend"), BeforeValidator(keys_of_backend(_Policy))]
"""the model we train, as it writes prompts"""


class SamplingParams(Section):
    """How a prompt is drawn from the policy."""

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(gt=0)


class RolloutParams(SamplingParams):
    """How the K samples of a query are drawn for preference training."""

    k: int = Field(ge=1)


class OptimizeParams(SamplingParams):
    """How the one prompt of a query is drawn that a user gets: by `vpo optimize`, a server, and the evaluation."""

    on_failure: Literal["query", "error"] = Field(
        description="Without a usable prompt: serve the query itself, unless the safety rule flags it; or nothing."
    )
