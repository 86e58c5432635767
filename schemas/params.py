"""The types of params.yaml, section by section; the values and their sources stand in the file itself.

Unknown keys are refused, so a typo is an error and not a default.
"""

import re
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from schemas.base import NAME
from schemas.needs import Needs, Weights
from schemas.params_policy import (
    BaseModelParams,
    OptimizeParams,
    PolicyEndpointParams,
    PolicyParams,
    RolloutParams,
    SamplingParams,
)
from schemas.params_render import RenderParams
from schemas.params_reward import RewardModelParams, RewardParams
from schemas.params_teacher import ArmTeacherParams, EndpointParams, OfflineTeacherParams, TeacherParams
from schemas.params_train import DpoTrainParams, SftParams
from schemas.section import COMMIT, BackendParams, Section

__all__ = [
    "BaseModelParams", "BaseParams", "CritiqueParams", "DDpoParams", "DSftParams", "DpoParams", "DpoTrainParams",
    "EndpointParams", "EvaluateParams", "FewshotParams", "OptimizeParams", "PackageParams",
    "Params", "PolicyEndpointParams", "PolicyParams", "QueriesParams", "RefineParams", "RenderParams",
    "RewardModelParams", "RewardParams", "RolloutParams", "SamplingParams", "SemanticParams", "SftParams",
    "TeacherParams", "TrainedArmParams", "WorldParams",
]  # fmt: skip

Name = Annotated[str, Field(pattern=NAME)]
VIDEO_PAIRS = re.compile(r"data/(?!raw/)(?:[^/]+/)?(?P<lane>[^/]+)/d_video\.jsonl")
"""Where the graph writes a lane's video pairs; a recipe's graph does so below data/<recipe>/."""


class BaseParams(Section):
    seed: int = Field(ge=0, description="Seeds everything that is drawn here; never part of a real teacher's key.")
    stop_share: float = Field(
        gt=0, le=1, description="A stage stops when more than this share of its inputs ends for one reason of a model."
    )
    stop_after: int = Field(ge=1, description="Inputs that must have ended before stop_share counts.")


class SemanticParams(Section):
    """Which queries mean the same, by a model of sentence-transformers."""

    NEEDS: ClassVar[Needs] = Needs(device="gpu", extras=("semantic",))

    model: str = Field(min_length=1, description="A model's folder, or owner/name on the Hub.")
    revision: str | None = Field(pattern=COMMIT, description="40-hex commit of a Hub model; null for a folder.")
    threshold: float = Field(gt=0, le=1, description="A query whose cosine to a kept one is >= this leaves.")

    @property
    def needs(self) -> Needs:
        """What the model needs, as a backend tells it."""
        return replace(self.NEEDS, weights=Weights(self.model, self.revision))


class QueriesParams(Section):
    source: Literal["synthetic", "file", "hub"]
    path: str | None = Field(description="File, or Hub dataset (owner/name).")
    revision: str | None = Field(pattern=COMMIT, description="40-hex commit of a Hub dataset.")
    query_column: str | None = Field(description="Column that holds the query; null finds prompt, query or text.")
    id_column: str | None = Field(description="Column that names the row; null finds uuid or id, else the position.")
    limit: int | None = Field(gt=0, description="Raw rows to read; null reads all.")
    keep_flags: bool = Field(description="Keep generator flags such as -ar 16:9 in the cleaned query.")
    min_words: int = Field(ge=1)
    max_words: int = Field(ge=1)
    max_characters: int = Field(ge=1)
    max_symbol_share: float = Field(gt=0, le=1)
    blocked_keywords: tuple[Annotated[str, Field(pattern=r"\S")], ...]
    drop_urls: bool = Field(description="A query with a link leaves.")
    pii: tuple[Literal["email", "phone", "handle"], ...] = Field(description="People's data that makes a query leave.")
    languages: tuple[str, ...] | None = Field(
        min_length=1, description="ISO 639 codes of the languages that stay, the likeliest first; null keeps all."
    )
    benchmarks: tuple[str, ...] = Field(
        description="Files of benchmark prompts (txt, csv, json, jsonl, parquet): what resembles one leaves."
    )
    max_similarity: float = Field(gt=0, le=1, description="A query with sim >= this to a kept one leaves (self-BLEU).")
    semantic: SemanticParams | None = Field(description="Drop what means the same in other words; null: no such rule.")
    unsafe_threshold: float = Field(gt=0, le=1, description="A source's toxicity score above this: safety candidate.")
    sft: int = Field(ge=0, description="General queries of split sft.")
    sft_safety: int = Field(ge=0, description="Safety queries of split sft.")
    dpo: int = Field(ge=0)
    dpo_safety: int = Field(ge=0)
    test: int = Field(ge=0)
    test_safety: int = Field(ge=0)
    sample: Literal["uniform", "stratified"] = Field(description="How rows are drawn from those that are left.")
    sample_balance: float | None = Field(
        ge=0, le=1, description="0 gives each stratum its share of the source, 1 the same share to all."
    )
    sample_weights: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] | None = Field(
        description="Facet (length, content, style, difficulty) -> value -> factor of its strata's share."
    )
    recheck_template: str

    @model_validator(mode="after")
    def path_goes_with_source(self) -> "QueriesParams":
        if (self.source == "synthetic") == (self.path is not None):
            right = "null for source synthetic" if self.source == "synthetic" else f"set for source {self.source}"
            raise ValueError(f"path must be {right}")
        if self.revision is not None and self.source != "hub":
            raise ValueError("revision is read by source hub alone: set it to null")
        if self.source == "hub" and self.revision is None:
            raise ValueError("revision must name the 40-hex commit of the Hub dataset")
        if self.min_words > self.max_words:
            raise ValueError("min_words must not exceed max_words")
        return self

    @model_validator(mode="after")
    def weights_go_with_strata(self) -> "QueriesParams":
        for name in ("sample_balance", "sample_weights"):
            if getattr(self, name) is not None and self.sample == "uniform":
                raise ValueError(f"{name} must be null for sample uniform")
        return self


class FewshotParams(Section):
    template: str
    exemplars: str = Field(description="JSONL of {query, prompt}: the demonstrations.")


class CritiqueParams(Section):
    template: str
    votes: int = Field(ge=1, description="A No is asked again until most of so many verdicts agree; 1: it stands.")

    @field_validator("votes")
    @classmethod
    def a_majority_needs_an_odd_number(cls, votes: int) -> int:
        if votes % 2 == 0:
            raise ValueError("must be odd: an even number of votes can tie")
        return votes


class RefineParams(Section):
    template: str
    verify: int = Field(ge=0, description="How often p_refined may go before the critic until it passes; 0: never.")


OnLeakage = Literal["refuse", "drop", "keep"]


class DSftParams(Section):
    path: str | None = Field(description="A ready D_SFT (JSON, JSONL or Parquet) in place of the stage's.")
    on_leakage: OnLeakage = Field(description="What becomes of rows of a ready D_SFT that resemble a test query.")


class TrainedArmParams(Section):
    """How an extra DPO arm departs from `dpo`."""

    text_feedback: bool = True
    video_feedback: bool = True
    labels: Literal["kept", "flipped", "random"] = "kept"
    video: str | None = Field(
        default=None, description="The file of its video pairs; DVC wants a path of every arm. Null: dpo.sources.video."
    )


class LaneParams(Section):
    """A lane beside `dpo` that renders what the text check refused: data/<lane>/."""


class DpoParams(Section):
    reward_gap: float = Field(ge=0)
    dominance: Literal["none", "question"]
    video_pairs: Literal["first", "widest", "adjacent", "all"]
    pairs_per_query: int | None = Field(gt=0, description="At most so many pairs a query and feedback; null: all.")
    when_both: Literal["text", "both", "video"]
    balance: Literal["words", "length", "none"] = Field(
        description="Draw pairs so that single words, or length, do not tell chosen from rejected."
    )
    text_feedback: bool
    video_feedback: bool
    safety_veto: bool = Field(description="A pair whose winner is worse on a question of dimension safety is none.")
    min_effect: float | None = Field(
        gt=0, description="A pair's gap must exceed so many standard deviations of the noise; null: no such rule."
    )
    target: str = Field(min_length=1, description="Name of the video generator the pairs are made for.")
    round: int = Field(ge=1)
    sources: dict[Name, str] = Field(description="Source of pairs -> its file; D_dpo takes them in this order.")
    unchecked: dict[Name, LaneParams] = Field(
        description="Lanes whose d_video pairs all rollouts, whether or not they passed the text check."
    )
    arms: dict[Name, TrainedArmParams]
    train: DpoTrainParams

    def sources_of(self, arm: TrainedArmParams) -> dict[str, str]:
        """Return the sources of pairs of an arm: those of `dpo`, with the arm's own file of video pairs."""
        return self.sources if arm.video is None else {**self.sources, "video": arm.video}

    @model_validator(mode="after")
    def every_arm_names_its_video_pairs(self) -> "DpoParams":
        if lacking := [name for name, arm in self.arms.items() if arm.video is None]:
            raise ValueError(
                f"arms.{lacking[0]}.video must name the file of its video pairs, such as {self.sources.get('video')}: "
                "DVC wants a path of every arm"
            )
        return self

    @model_validator(mode="after")
    def a_lane_has_a_reader_and_a_reader_a_lane(self) -> "DpoParams":
        if "dpo" in self.unchecked:
            raise ValueError("unchecked must not name lane dpo: it renders what passed the text check")
        paths = [*self.sources.values(), *(arm.video for arm in self.arms.values() if arm.video)]
        read = {match["lane"]: path for path in paths if (match := VIDEO_PAIRS.fullmatch(path))}
        if idle := [lane for lane in self.unchecked if lane not in read]:
            raise ValueError(
                f"unchecked renders lane {idle[0]}, and no arm reads its pairs (arms.<arm>.video): take one of them out"
            )
        if lacking := read.keys() - self.unchecked.keys() - {"dpo"}:
            lane = min(lacking)
            raise ValueError(
                f"{read[lane]} is read, and unchecked has no lane {lane}: add it, or name another file "
                "(arms.<arm>.video, sources)"
            )
        return self


class DDpoParams(Section):
    path: str | None = Field(description="A ready D_dpo (JSON, JSONL or Parquet) in place of the stage's.")
    on_leakage: OnLeakage = Field(description="What becomes of pairs of a ready D_dpo that resemble a test query.")


class QueryArmParams(Section):
    """The queries themselves: what every other arm has to beat."""

    prompts: Literal["query"]
    source: str = Field(description="The queries' file: DVC wants a path of every arm.")


class StoredArmParams(Section):
    """Prompts that another stage wrote for the same queries."""

    prompts: Literal["stored"]
    source: str = Field(description="The file of rows; what it dropped is read beside it.")


class PolicyArmParams(Section):
    """Prompts drawn from a trained policy, by the section `optimize`."""

    prompts: Literal["policy"]
    source: str = Field(description="The model's folder.")


class LlmArmParams(Section):
    """Prompts that any LLM writes by a template of the arm's own."""

    prompts: Literal["llm"]
    source: str = Field(description="The template; it reads query and, if it likes, exemplars (fewshot.exemplars).")
    teacher: ArmTeacherParams


class FileArmParams(Section):
    """A user's own prompts: a JSONL, JSON, Parquet, CSV or TSV file with a query and its prompt in each record."""

    prompts: Literal["file"]
    source: str = Field(pattern=r"\.(jsonl|ndjson|json|csv|tsv)(\.gz)?$|\.parquet$", description="The file.")
    query_column: str = "query"
    prompt_column: str = "prompt"


ArmParams = Annotated[
    QueryArmParams | StoredArmParams | PolicyArmParams | LlmArmParams | FileArmParams, Field(discriminator="prompts")
]


class SuiteParams(Section):
    """A set of queries that the arms are compared on: data/queries/<suite>.jsonl."""


class EvaluateParams(Section):
    suites: dict[Name, SuiteParams] = Field(min_length=1)
    arms: dict[Name, ArmParams]
    versus: tuple[tuple[str, str], ...] = Field(description="Paired differences (arm, versus) to report.")
    bootstrap: int = Field(ge=100)
    allow_same_judge: bool

    @model_validator(mode="after")
    def versus_names_arms(self) -> "EvaluateParams":
        if unknown := sorted({name for pair in self.versus for name in pair} - self.arms.keys()):
            raise ValueError(f"versus names {', '.join(unknown)}, which evaluate.arms does not have")
        return self


class PackageParams(Section):
    name: str
    license: str
    held_out_share: float = Field(ge=0, lt=1)


class WorldParams(Section):
    """Knobs of the offline world; outside the check on unread values."""

    queries: int = Field(gt=0, description="Size of the synthetic corpus.")
    teacher_flaws: float = Field(ge=0, le=1, description="Share of the few-shot prompts that are flawed by choice.")
    teacher_simplifies: float = Field(
        ge=0, le=1, description="Share of the flawed that lost details; the others open or jump between scenes, evenly."
    )
    teacher_keeps_unsafe: float = Field(ge=0, le=1, description="Share of unsafe queries whose unsafe word is kept.")
    teacher_refuses: float = Field(ge=0, le=1, description="Share of unsafe queries that are refused.")
    critic_recall_own: float = Field(ge=0, le=1, description="Lost details that the critic sees in its own prompts.")
    critic_recall_own_unsafe: float = Field(ge=0, le=1, description="Unsafe words that it sees in its own prompts.")
    critic_recall: float = Field(ge=0, le=1, description="Lost details that it sees in anybody else's prompts.")
    critic_recall_unsafe: float = Field(ge=0, le=1, description="Unsafe words that it sees in anybody else's prompts.")
    critic_false_alarms: float = Field(ge=0, le=1, description="Share of flawless prompts that it finds fault with.")
    load: float = Field(ge=0, description="How much each word beyond three costs the video generator in quality.")
    drama: float = Field(ge=0, le=1, description="How much drama, unsafe words too, helps the video generator.")
    reward_likes_unsafe: float = Field(
        ge=0, le=1, description="Planted: how near to the best that the reward knows unsafe words bring a clip."
    )


class Params(Section):
    """All of params.yaml."""

    base: BaseParams
    queries: QueriesParams
    teacher: TeacherParams
    judge: TeacherParams
    fewshot: FewshotParams
    critique: CritiqueParams
    refine: RefineParams
    d_sft: DSftParams
    base_model: BaseModelParams
    sft: SftParams
    policy: PolicyParams
    rollout: RolloutParams
    optimize: OptimizeParams
    dpo: DpoParams
    d_dpo: DDpoParams
    render: RenderParams
    reward: RewardParams
    evaluate: EvaluateParams
    package: PackageParams
    world: WorldParams

    @property
    def backends(self) -> dict[str, BackendParams]:
        """The params of every chosen backend, by the place of its section: teacher, ..., reward.models.<name>."""
        return {
            "teacher": self.teacher,
            "judge": self.judge,
            "base_model": self.base_model,
            "policy": self.policy,
            "render": self.render,
            **{f"reward.models.{name}": model for name, model in self.reward.models.items()},
        }

    @model_validator(mode="after")
    def noise_is_measured_before_it_is_beaten(self) -> "Params":
        if self.dpo.min_effect is not None and not self.reward.replicate:
            raise ValueError("dpo.min_effect needs reward.replicate above 0: the noise is measured by a second render")
        return self

    @model_validator(mode="after")
    def a_teacher_that_can_shortens(self) -> "Params":
        if self.render.long_prompts == "shorten" and isinstance(self.teacher, OfflineTeacherParams):
            raise ValueError("render.long_prompts shorten needs teacher.backend openai: the offline one cannot shorten")
        return self
