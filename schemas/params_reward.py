"""The types of the section `reward` of params.yaml: a class a kind of reward model, with the keys that it reads."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from schemas.needs import Needs, Reading, Weights
from schemas.section import COMMIT, BackendParams, Section, keys_of_backend


class ScorerParams(BackendParams):
    """What all reward models read."""

    scored_text: Literal["query", "prompt"]


class ChecklistParams(ScorerParams):
    """What all read that answer the questions of a file; the others rate dimensions."""

    questions: str = Field(description="JSONL of {question_id, question, weight, dimension}.")


class OfflineChecklistParams(ChecklistParams):
    """The stand-in for VisionReward."""

    NEEDS: ClassVar[Needs] = Needs(device="cpu", extras=("video",), stand_in=True)

    backend: Literal["offline_checklist"]


class OfflineDimsParams(ScorerParams):
    """The stand-in for VideoScore, aesthetics and MPS."""

    NEEDS: ClassVar[Needs] = Needs(device="cpu", extras=("video",), stand_in=True)

    backend: Literal["offline_dims"]


class ModelScorerParams(ScorerParams):
    """What all read that load weights; null means what the model's authors use (pipeline/backends/reward/)."""

    model: str = Field(min_length=1, description="owner/name on the Hub, or a folder.")
    revision: str | None = Field(default=None, pattern=COMMIT, description="40-hex commit of a Hub model.")

    @property
    def needs(self) -> Needs:
        return replace(self.NEEDS, weights=Weights(self.model, self.revision))


class InProcessScorerParams(ModelScorerParams):
    """What all read that run in this process."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("video", "reward"))

    n_frames: int | None = Field(default=None, gt=0, description="Most frames that are looked at.")
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    batch_size: int | None = Field(default=None, gt=0, description="Questions or clips at once.")


class WorkerScorerParams(ModelScorerParams):
    """What all read that run as a program in an environment of its own."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("video",))

    worker: tuple[str, ...] = Field(
        min_length=1, description="The program of a scorer that needs an environment of its own."
    )
    timeout_s: float | None = Field(default=None, gt=0, description="Longest wait for a worker's answer.")

    @property
    def needs(self) -> Needs:
        return replace(super().needs, program=self.worker)


class ModelChecklistParams(InProcessScorerParams, ChecklistParams):
    """Any image-text-to-text model of transformers, asked the questions."""

    # ours: 8 frames of 256 tokens, read once for all questions
    NEEDS: ClassVar[Needs] = replace(InProcessScorerParams.NEEDS, reading=Reading(0, 2500))

    backend: Literal["checklist"]


class RegressionScorerParams(InProcessScorerParams):
    """Models that rate the frames, alone or against the text."""

    # the largest of them, VideoScore: Mantis-8B, 16 frames of 64 tokens and its instruction
    NEEDS: ClassVar[Needs] = replace(InProcessScorerParams.NEEDS, reading=Reading(8e9, 1500))

    backend: Literal["videoscore", "clip", "mps", "hpsv2"]


class AestheticParams(InProcessScorerParams):
    """LAION's head on CLIP."""

    # ViT-L/14, 4 frames
    NEEDS: ClassVar[Needs] = replace(InProcessScorerParams.NEEDS, reading=Reading(0.3e9, 4 * 257))

    backend: Literal["aesthetic"]
    head: str = Field(description="File or folder of the head's weights, safetensors.")


class VisionRewardParams(WorkerScorerParams, ChecklistParams):
    """VisionReward, asked the questions."""

    # its 12.5B weights; 24 frames of 66 tokens and a question, read anew for each
    NEEDS: ClassVar[Needs] = replace(WorkerScorerParams.NEEDS, reading=Reading(12.5e9, 1650, asks=True))

    backend: Literal["visionreward"]


class VideoAlignParams(WorkerScorerParams):
    """VideoAlign, which rates."""

    # Qwen2-VL-2B; ours: a clip of 3,000 tokens
    NEEDS: ClassVar[Needs] = replace(WorkerScorerParams.NEEDS, reading=Reading(2e9, 3000))

    backend: Literal["videoalign"]


_RewardModel = (
    OfflineChecklistParams
    | OfflineDimsParams
    | ModelChecklistParams
    | RegressionScorerParams
    | AestheticParams
    | VisionRewardParams
    | VideoAlignParams
)
RewardModelParams = Annotated[
    _RewardModel, Field(discriminator="backend"), BeforeValidator(keys_of_backend(_RewardModel))
]
"""a reward model"""


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
    def model_is_listed(self) -> "RewardParams":
        if not self.read or len({*self.read}) < len(self.read):
            raise ValueError("model must name one of reward.models, or several that differ")
        if strange := [name for name in self.read if name not in self.models]:
            listed = ", ".join(sorted(self.models))
            raise ValueError(f"model must be one of reward.models: {listed} ({', '.join(strange)} is not)")
        for name in self.read:
            model = self.models[name]
            if (self.formula in self.OF_ANSWERS) != isinstance(model, ChecklistParams):
                reads = "a checklist's answers" if self.formula in self.OF_ANSWERS else "dimensions"
                raise ValueError(
                    f"formula {self.formula} reads {reads}, which model {name} ({model.backend}) does not give"
                )
        if self.formula in self.OF_ANSWERS and len(self.read) > 1:
            raise ValueError(f"formula {self.formula} reads one model, not {len(self.read)}")
        if self.weights is not None and self.formula != "z_sum":
            raise ValueError(f"weights is read by formula z_sum, not by {self.formula}: set it to null")
        return self
