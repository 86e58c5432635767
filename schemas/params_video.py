"""The types of the sections `render` and `reward` of params.yaml."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from schemas.section import COMMIT, Seam, Section


class RenderParams(Seam):
    """One class for all renderers; null means what the model's authors use (pipeline/backends/renderer/facts.py)."""

    READS: ClassVar[dict[str, set[str]]] = {
        "offline": set(),
        "diffusers": {
            "model", "revision", "num_inference_steps", "guidance_scale", "guidance_scale_2", "scheduler", "flow_shift",
            "use_dynamic_cfg", "max_sequence_length", "dtype", "vae_tiling", "vae_slicing", "offload", "batch_size",
            "safety_checker",
        },
        "http": {
            "model", "revision", "base_url", "adapter", "api_key_env", "timeout_s", "poll_s", "max_concurrency",
            "usd_per_clip", "budget_usd", "num_inference_steps", "guidance_scale",
        },
        "command": {
            "model", "revision", "command", "max_sequence_length", "num_inference_steps", "guidance_scale",
            "batch_size",
        },
    }  # fmt: skip

    backend: Literal["offline", "diffusers", "http", "command"]
    model: str | None = Field(min_length=1, description="Pipeline on the Hub or in a folder; a host's name for it.")
    revision: str | None = Field(min_length=1, description="40-hex commit of a Hub model; of others what names it.")
    n_frames: int | None = Field(gt=0, description="1 makes pictures.")
    height: int | None = Field(gt=0, description="Pixels.")
    width: int | None = Field(gt=0, description="Pixels.")
    frames_per_second: float | None = Field(gt=0)
    negative_prompt: str
    num_inference_steps: int | None = Field(gt=0)
    guidance_scale: float | None = Field(ge=0)
    guidance_scale_2: float | None = Field(ge=0, description="Of the second expert of Wan 2.2 A14B.")
    scheduler: str | None = Field(pattern=r"^\w+Scheduler$", description="A scheduler class of diffusers.")
    flow_shift: float | None = Field(gt=0)
    use_dynamic_cfg: bool | None
    max_sequence_length: int | None = Field(gt=0, description="Most tokens of a prompt that the generator reads.")
    dtype: Literal["float32", "float16", "bfloat16"] | None
    vae_tiling: bool | None
    vae_slicing: bool | None
    offload: Literal["none", "model", "sequential", "group"] | None
    safety_checker: bool | None = Field(description="Stable Diffusion's, which blackens pictures.")
    long_prompts: Literal["truncate", "refuse", "shorten"] = Field(
        description="What becomes of prompts beyond the generator's token limit; the teacher shortens."
    )
    shorten_template: str
    batch_size: int | None = Field(gt=0, description="Clips at once; halved where they do not fit into memory.")
    base_url: str | None
    adapter: Literal["plain", "zhipu", "openai"] | None = Field(description="How the host is spoken to.")
    api_key_env: str | None = Field(description="Variable that holds the key.")
    timeout_s: float | None = Field(gt=0, description="Longest wait for one clip.")
    poll_s: float | None = Field(gt=0, description="Seconds between two looks at a job.")
    max_concurrency: int | None = Field(ge=1)
    usd_per_clip: float | None = Field(ge=0)
    budget_usd: float | None = Field(ge=0, description="All that this project may ever spend on this model.")
    command: tuple[str, ...] | None = Field(
        min_length=1, description="A program and its arguments; {manifest} and {clips} stand for the file and folder."
    )
    clips_per_shard: int = Field(gt=0)

    @model_validator(mode="after")
    def what_the_backend_needs_is_set(self):
        needed = {
            "offline": ("n_frames", "height", "width", "frames_per_second"),
            "diffusers": ("model",),
            "http": ("model", "base_url", "adapter"),
            "command": ("model", "revision", "command"),
        }[self.backend]
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"backend {self.backend} needs {', '.join(lacking)}: set what is null")
        for word in ("{manifest}", "{clips}"):
            if self.command is not None and not any(word in part for part in self.command):
                raise ValueError(f"command must hold {word}, where the program finds it")
        if self.budget_usd is not None and self.usd_per_clip is None:
            raise ValueError("budget_usd needs usd_per_clip: hosts do not tell what a clip costs")
        return self


CHECKLISTS = ("offline_checklist", "checklist", "visionreward")
"""reward backends that answer the questions of a file; the others rate dimensions"""


class RewardModelParams(Seam):
    """A scorer; null means what its authors use (pipeline/backends/reward/)."""

    READS: ClassVar[dict[str, set[str]]] = {
        "offline_checklist": {"questions"},
        "offline_dims": set(),
        "checklist": {"questions", "model", "revision", "n_frames", "dtype", "batch_size"},
        "visionreward": {"questions", "model", "revision", "worker", "timeout_s"},
        "videoalign": {"model", "revision", "worker", "timeout_s"},
        "videoscore": {"model", "revision", "n_frames", "dtype", "batch_size"},
        "aesthetic": {"model", "revision", "head", "n_frames", "dtype", "batch_size"},
        "clip": {"model", "revision", "n_frames", "dtype", "batch_size"},
        "mps": {"model", "revision", "n_frames", "dtype", "batch_size"},
        "hpsv2": {"model", "revision", "n_frames", "dtype", "batch_size"},
    }

    backend: Literal[
        "offline_checklist", "offline_dims", "checklist", "visionreward", "videoalign", "videoscore", "aesthetic",
        "clip", "mps", "hpsv2",
    ]  # fmt: skip
    questions: str | None = Field(default=None, description="JSONL of {question_id, question, weight, dimension}.")
    scored_text: Literal["query", "prompt"]
    model: str | None = Field(default=None, min_length=1, description="owner/name on the Hub, or a folder.")
    revision: str | None = Field(default=None, pattern=COMMIT, description="40-hex commit of a Hub model.")
    head: str | None = Field(default=None, description="File or folder of the head's weights, safetensors.")
    n_frames: int | None = Field(default=None, gt=0, description="Most frames that are looked at.")
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    batch_size: int | None = Field(default=None, gt=0, description="Questions or clips at once.")
    worker: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The program of a scorer that needs an environment of its own."
    )
    timeout_s: float | None = Field(default=None, gt=0, description="Longest wait for a worker's answer.")

    @model_validator(mode="after")
    def what_the_backend_needs_is_set(self):
        needed = ["questions"] * (self.backend in CHECKLISTS) + ["model"] * (not self.backend.startswith("offline"))
        needed += ["worker"] * ("worker" in self.READS[self.backend]) + ["head"] * (self.backend == "aesthetic")
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"backend {self.backend} needs {', '.join(lacking)}")
        return self


class RewardParams(Section):
    OF_ANSWERS: ClassVar[set[str]] = {"weighted_yes", "weighted_p_yes", "visionreward"}
    """formulas that read a checklist's answers; the others read dimensions"""

    models: dict[str, RewardModelParams]
    formula: Literal[
        "weighted_yes", "weighted_p_yes", "visionreward", "mean_dims", "evolution", "filter", "z_sum"
    ] = Field(description="How what is stored becomes one number.")  # fmt: skip
    model: str | tuple[str, ...] = Field(description="Which of `models` the formula reads.")
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None = Field(
        description="z_sum: dimension -> weight; null: all of `model` alike."
    )
    replicate: float = Field(ge=0, le=1, description="Share of the queries whose clips are rendered twice.")

    @property
    def read(self) -> tuple[str, ...]:
        """The reward models that the formula reads."""
        return (self.model,) if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def model_is_listed(self):
        if not self.read or len({*self.read}) < len(self.read):
            raise ValueError("model must name one of reward.models, or several that differ")
        if strange := [name for name in self.read if name not in self.models]:
            listed = ", ".join(sorted(self.models))
            raise ValueError(f"model must be one of reward.models: {listed} ({', '.join(strange)} is not)")
        for name in self.read:
            backend = self.models[name].backend
            if (self.formula in self.OF_ANSWERS) != (backend in CHECKLISTS):
                reads = "a checklist's answers" if self.formula in self.OF_ANSWERS else "dimensions"
                raise ValueError(f"formula {self.formula} reads {reads}, which model {name} ({backend}) does not give")
        if self.formula in self.OF_ANSWERS and len(self.read) > 1:
            raise ValueError(f"formula {self.formula} reads one model, not {len(self.read)}")
        if self.weights is not None and self.formula != "z_sum":
            raise ValueError(f"weights is read by formula z_sum, not by {self.formula}: set it to null")
        return self
