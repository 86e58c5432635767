"""The types of the section `render` of params.yaml: a class a renderer, with the keys that it reads."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from schemas.needs import Needs, Weights
from schemas.section import BackendParams, find_url_fault, keys_of_backend

ADAPTER_KEYS = {"plain": "RENDER_API_KEY", "zhipu": "ZHIPUAI_API_KEY", "openai": "OPENAI_API_KEY"}
"""adapter -> the variable that holds its key where api_key_env is null"""
OPEN_ADAPTERS = {"plain"}
"""adapters whose host may answer without a key"""


class RendererParams(BackendParams):
    """What all renderers read; null is what the model's authors use (pipeline/backends/renderer/facts.py)."""

    n_frames: int | None = Field(default=None, gt=0, description="1 makes pictures.")
    height: int | None = Field(default=None, gt=0, description="Pixels.")
    width: int | None = Field(default=None, gt=0, description="Pixels.")
    frames_per_second: float | None = Field(default=None, gt=0)
    negative_prompt: str
    long_prompts: Literal["truncate", "refuse", "shorten"] = Field(
        description="What becomes of prompts beyond the generator's token limit; the teacher shortens."
    )
    shorten_template: str
    clips_per_shard: int = Field(gt=0)


class OfflineRenderParams(RendererParams):
    """The procedural stand-in for a video generator."""

    NEEDS: ClassVar[Needs] = Needs(device="cpu", extras=("video",), stand_in=True)

    backend: Literal["offline"]
    n_frames: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    frames_per_second: float = Field(gt=0)


class DiffusersRenderParams(RendererParams):
    """An open model, run in this process by diffusers."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("video", "render"))

    backend: Literal["diffusers"]
    model: str = Field(min_length=1, description="owner/name on the Hub, or a folder.")
    revision: str | None = Field(default=None, min_length=1, description="40-hex commit of a Hub model.")
    num_inference_steps: int | None = Field(default=None, gt=0)
    guidance_scale: float | None = Field(default=None, ge=0)
    guidance_scale_2: float | None = Field(default=None, ge=0, description="Of the second expert of Wan 2.2 A14B.")
    scheduler: str | None = Field(default=None, pattern=r"^\w+Scheduler$", description="A scheduler of diffusers.")
    flow_shift: float | None = Field(default=None, gt=0)
    use_dynamic_cfg: bool | None = None
    max_sequence_length: int | None = Field(
        default=None, gt=0, description="Most tokens of a prompt that the generator reads."
    )
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    vae_tiling: bool | None = None
    vae_slicing: bool | None = None
    offload: Literal["none", "model", "sequential", "group"] | None = None
    safety_checker: bool | None = Field(default=None, description="Stable Diffusion's, which blackens pictures.")
    batch_size: int | None = Field(
        default=None, gt=0, description="Clips at once; halved where they do not fit into memory."
    )

    @property
    def needs(self) -> Needs:
        return replace(self.NEEDS, weights=Weights(self.model, self.revision))


class HttpRenderParams(RendererParams):
    """A host that makes clips for money; it has its own workers."""

    NEEDS: ClassVar[Needs] = Needs(device="host", extras=("video", "openai"), paid_by="clip", spreads=False)

    backend: Literal["http"]
    model: str = Field(min_length=1, description="The host's name for it.")
    revision: str | None = Field(default=None, min_length=1, description="What names its version.")
    num_inference_steps: int | None = Field(default=None, gt=0)
    guidance_scale: float | None = Field(default=None, ge=0)
    base_url: str
    adapter: Literal["plain", "zhipu", "openai"] = Field(description="How the host is spoken to.")
    api_key_env: str | None = Field(default=None, description="Variable that holds the key; null: the adapter's.")
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Longest wait for one clip.")
    poll_s: float | None = Field(default=None, gt=0, description="Seconds between two looks at a job.")
    max_concurrency: int | None = Field(default=None, ge=1)
    usd_per_clip: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    budget_usd: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="All that this project may ever spend on this model."
    )

    @property
    def needs(self) -> Needs:
        keyless = self.api_key_env is None and self.adapter in OPEN_ADAPTERS
        keys = () if keyless else (self.api_key_env or ADAPTER_KEYS[self.adapter],)
        return replace(self.NEEDS, keys=keys, address=self.base_url, usd_per_unit=self.usd_per_clip)

    @field_validator("base_url")
    @classmethod
    def is_an_address(cls, base_url: str) -> str:
        if fault := find_url_fault(base_url):
            raise ValueError(fault)
        return base_url

    @model_validator(mode="after")
    def a_budget_has_a_price(self) -> "HttpRenderParams":
        if self.budget_usd is not None and self.usd_per_clip is None:
            raise ValueError("budget_usd needs usd_per_clip: hosts do not tell what a clip costs")
        return self


class CommandRenderParams(RendererParams):
    """A program outside, in an environment of its own; it takes the GPUs that it likes."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("video",), spreads=False)

    backend: Literal["command"]
    model: str = Field(min_length=1)
    revision: str = Field(min_length=1, description="What names all that the program does.")
    num_inference_steps: int | None = Field(default=None, gt=0)
    guidance_scale: float | None = Field(default=None, ge=0)
    max_sequence_length: int | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, gt=0, description="Clips a call.")
    command: tuple[str, ...] = Field(
        min_length=1, description="A program and its arguments; {manifest} and {clips} stand for the file and folder."
    )

    @property
    def needs(self) -> Needs:
        return replace(self.NEEDS, program=self.command)

    @model_validator(mode="after")
    def command_names_what_it_reads_and_writes(self) -> "CommandRenderParams":
        for word in ("{manifest}", "{clips}"):
            if not any(word in part for part in self.command):
                raise ValueError(f"command must hold {word}, where the program finds it")
        return self


_Render = OfflineRenderParams | DiffusersRenderParams | HttpRenderParams | CommandRenderParams
RenderParams = Annotated[_Render, Field(discriminator="backend"), BeforeValidator(keys_of_backend(_Render))]
"""the video generator"""
