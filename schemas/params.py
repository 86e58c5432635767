"""The types of params.yaml, section by section; the values and their sources stand in the file itself.

Unknown keys are refused, so a typo is an error and not a default.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

COMMIT = r"^[0-9a-f]{40}$"
ON_THE_HUB = r"^[\w.-]+/[\w.-]+$"

_recording: dict[int, str] | None = None
_read: set[str] = set()


class Section(BaseModel):
    """A part of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def __getattribute__(self, name: str):
        value = super().__getattribute__(name)
        if _recording is not None and name in type(self).model_fields:
            here = _recording.get(id(self))
            if here is not None:
                key = f"{here}.{name}" if here else name
                if isinstance(value, Section):
                    _recording[id(value)] = key
                elif isinstance(value, dict) and all(isinstance(item, Section) for item in value.values()):
                    for item_name, item in value.items():
                        _recording[id(item)] = f"{key}.{item_name}"
                else:
                    _read.add(key)
        return value


def record(params: "Params") -> set[str]:
    """Return a set that fills with the single keys read from `params` from now on; a test compares it with dvc.yaml."""
    global _recording
    _recording = {id(params): ""}
    _read.clear()
    return _read


class Seam(Section):
    """A backend by name and the values it reads; a value that the chosen one does not read is refused."""

    READS: ClassVar[dict[str, set[str]]] = {}
    """backend -> the optional fields it reads"""

    @model_validator(mode="after")
    def refuse_what_the_backend_does_not_read(self):
        backend = self.backend
        for name in type(self).model_fields:
            readers = sorted(key for key, fields in self.READS.items() if name in fields)
            if readers and backend not in readers and getattr(self, name) is not None:
                raise ValueError(f"{name} is read by {' and '.join(readers)}, not by {backend}: set it to null")
        return self


class Base(Section):
    seed: int = Field(ge=0, description="Seeds everything that is drawn here; never part of a real teacher's key.")


class Queries(Section):
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
    def path_goes_with_source(self):
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
    def weights_go_with_strata(self):
        stratified = self.sample == "stratified"
        for name in ("sample_balance", "sample_weights"):
            if (getattr(self, name) is not None) != stratified:
                right = "set for sample stratified" if stratified else "null for sample uniform"
                raise ValueError(f"{name} must be {right}")
        return self


OFFLINE_TEACHERS = ("grammar", "checker")


class Endpoint(Section):
    """How an address that speaks the OpenAI API is asked; shared by the teacher, the judge and a served policy."""

    model: str = Field(min_length=1)
    base_url: str | None
    api_version: str | None = Field(description="Azure's; set, it makes base_url an Azure resource.")
    api_key_env: str | None = Field(description="Variable that holds the key; null means OPENAI_API_KEY.")
    timeout_s: float | None = Field(gt=0, description="Longest wait for one answer.")
    attempts: int | None = Field(ge=1, description="Requests for one answer that may fail; a 429 is not counted.")
    max_concurrency: int = Field(ge=1)
    requests_per_minute: float | None = Field(gt=0, description="Null: learnt from what the endpoint says or refuses.")
    tokens_per_minute: float | None = Field(gt=0)
    usd_per_million_input_tokens: float | None = Field(ge=0, description="Null: the price that genai-prices knows.")
    usd_per_million_output_tokens: float | None = Field(ge=0)
    budget_usd: float | None = Field(ge=0, description="All that this project may ever spend on this model.")
    mode: Literal["direct", "batch"] | None = Field(
        description="batch: the Batch API, at half the price; null: direct."
    )


class Teacher(Seam, Endpoint):
    """One class for the teacher and for the judge: an LLM behind an API, or the offline stand-in."""

    READS: ClassVar[dict[str, set[str]]] = {
        "openai": {*Endpoint.model_fields, "temperature", "top_p", "max_completion_tokens", "response_format"}
        - {"model", "max_concurrency"}
    }

    backend: Literal["offline", "openai"]
    temperature: float | None = Field(ge=0, le=2)
    top_p: float | None = Field(gt=0, le=1)
    max_completion_tokens: int | None = Field(gt=0)
    response_format: Literal["markers", "json_schema"] | None = Field(
        description="markers: the papers' text markers (null too); json_schema: structured output of the endpoint."
    )
    parse_attempts: int = Field(ge=1, description="How often an answer that cannot be parsed is asked for.")

    @model_validator(mode="after")
    def offline_knows_the_model(self):
        if self.backend == "offline" and self.model not in OFFLINE_TEACHERS:
            raise ValueError(f"model must be one of {', '.join(OFFLINE_TEACHERS)} for backend offline")
        return self


class Fewshot(Section):
    template: str
    exemplars: str = Field(description="JSONL of {query, prompt}: the demonstrations.")


class Critique(Section):
    template: str
    votes: int = Field(ge=1, description="A No is asked again until most of so many verdicts agree; 1: it stands.")

    @field_validator("votes")
    @classmethod
    def a_majority_needs_an_odd_number(cls, votes: int) -> int:
        if votes % 2 == 0:
            raise ValueError("must be odd: an even number of votes can tie")
        return votes


class Refine(Section):
    template: str
    verify: int = Field(ge=0, description="How often p_refined may go before the critic until it passes; 0: never.")


class DSft(Section):
    path: str | None = Field(description="A ready D_SFT (JSONL with query and prompt) in place of the stage's.")


class BaseModelParams(Seam):
    """The policy before training: a tiny Llama made here, or the pinned name of a real one."""

    READS: ClassVar[dict[str, set[str]]] = {
        "tiny": {
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "steps",
            "batch_size",
            "learning_rate",
        },
        "hub": {"name", "revision"},
    }

    backend: Literal["tiny", "hub"]
    name: str | None = Field(description="owner/name on the Hub, or a model's folder.")
    revision: str | None = Field(pattern=COMMIT, description="40-hex commit of a Hub model.")
    vocab_size: int | None = Field(gt=300)
    hidden_size: int | None = Field(gt=0)
    num_hidden_layers: int | None = Field(gt=0)
    num_attention_heads: int | None = Field(gt=0)
    steps: int | None = Field(gt=0)
    batch_size: int | None = Field(gt=0)
    learning_rate: float | None = Field(gt=0)

    @model_validator(mode="after")
    def what_the_backend_reads_is_set(self):
        needed = self.READS["tiny"] if self.backend == "tiny" else {"name"}
        if lacking := sorted(name for name in needed if getattr(self, name) is None):
            raise ValueError(f"backend {self.backend} needs {', '.join(lacking)}: set what is null")
        return self


class Lora(Section):
    """Low-rank adapters in place of all weights; fields are spelled as peft spells them."""

    r: int = Field(gt=0)
    lora_alpha: int = Field(gt=0)
    lora_dropout: float = Field(ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(min_length=1, description="Layers by the end of their name.")

    @field_validator("target_modules")
    @classmethod
    def no_adapter_on_the_head(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "lm_head" in names:
            raise ValueError("must not name lm_head: TRL reads its weight directly and would never train the adapter")
        return names


class Train(Section):
    """What a TRL trainer is told; fields are spelled as TRL spells them, but for global_batch_size."""

    NOT_SHAPING: ClassVar[set[str]] = {"launch", "checkpoint_s", "report_to", "per_device_train_batch_size"}
    """Fields of which the trained weights do not depend; the micro-batch is told by what it gives."""

    learning_rate: float = Field(gt=0)
    num_train_epochs: float = Field(gt=0)
    max_steps: int = Field(description="-1: as many as the epochs give.")
    global_batch_size: int = Field(gt=0)
    per_device_train_batch_size: int | None = Field(gt=0, description="Null: the largest that gives the global batch.")
    warmup_steps: float = Field(ge=0, description="Below 1 a share of all steps, as transformers 5 reads it.")
    lr_scheduler_type: Literal["linear", "constant_with_warmup", "cosine", "constant"]
    adam_beta1: float = Field(gt=0, lt=1)
    adam_beta2: float = Field(gt=0, lt=1)
    max_length: int = Field(gt=0)
    long_rows: Literal["drop", "truncate", "refuse"] = Field(description="What becomes of rows beyond max_length.")
    bf16: bool
    gradient_checkpointing: bool
    lora: Lora | None = Field(description="Null: all weights are trained. Adapters are merged into what is saved.")
    launch: Literal["auto", "single", "zero3", "zero3_offload", "multi_node"]
    checkpoint_s: float | None = Field(ge=0, description="Seconds of training between checkpoints; null: none.")
    report_to: Literal["none", "trackio", "wandb", "mlflow"]


class Sft(Train):
    padding_free: bool = Field(description="Rows of a micro-batch end to end, without padding; same loss.")

    @model_validator(mode="after")
    def padding_free_cuts_nothing(self):
        if self.padding_free and self.long_rows == "truncate":
            raise ValueError("padding_free cannot truncate: set long_rows to drop or refuse")
        return self


class DpoTrain(Train):
    beta: float = Field(gt=0)
    precompute_ref_log_probs: bool
    held_out_share: float = Field(ge=0, lt=0.5, description="Share of the queries whose pairs only measure.")


class PolicyEndpoint(Endpoint):
    """Where the policy is served (vLLM); `model` is the name under which it is, {folder} the name of its folder."""

    model: str = "{folder}"
    base_url: str
    api_version: str | None = None
    api_key_env: str | None = None
    timeout_s: float | None = None
    attempts: int | None = None
    max_concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None
    budget_usd: float | None = None
    mode: Literal["direct"] | None = None


class Policy(Seam):
    READS: ClassVar[dict[str, set[str]]] = {"openai": {"endpoint"}}

    backend: Literal["transformers", "openai"]
    template: str = Field(description="The words around the query for the optimizer.")
    batch_size: int = Field(gt=0, description="Of transformers; a server makes its own batches.")
    endpoint: PolicyEndpoint | None

    @model_validator(mode="after")
    def a_served_policy_has_an_endpoint(self):
        if self.backend == "openai" and self.endpoint is None:
            raise ValueError("backend openai needs endpoint: {base_url: http://host:8000/v1}")
        return self


class Rollout(Section):
    k: int = Field(ge=1)
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(gt=0)


class TrainedArm(Section):
    """How an extra DPO arm departs from `dpo`."""

    text_feedback: bool = True
    video_feedback: bool = True
    labels: Literal["kept", "flipped", "random"] = "kept"


class Dpo(Section):
    reward_gap: float = Field(ge=0)
    dominance: Literal["none", "question"]
    video_pairs: Literal["first", "widest", "adjacent", "all"]
    pairs_per_query: int | None = Field(gt=0, description="At most so many pairs a query and feedback; null: all.")
    when_both: Literal["text", "both", "video"]
    text_feedback: bool
    video_feedback: bool
    safety_veto: bool = Field(description="A pair whose winner is worse on a question of dimension safety is none.")
    min_effect: float | None = Field(
        gt=0, description="A pair's gap must exceed so many standard deviations of the noise; null: no such rule."
    )
    target: str = Field(min_length=1, description="Name of the video generator the pairs are made for.")
    round: int = Field(ge=1)
    arms: dict[str, TrainedArm]
    train: DpoTrain


class DDpo(Section):
    path: str | None = Field(description="A ready D_dpo (JSONL with query, chosen, rejected) in place of the stage's.")


class Render(Seam):
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


class RewardModel(Seam):
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


class Reward(Section):
    OF_ANSWERS: ClassVar[set[str]] = {"weighted_yes", "weighted_p_yes", "visionreward"}
    """formulas that read a checklist's answers; the others read dimensions"""

    models: dict[str, RewardModel]
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


class EvaluatedArm(Section):
    """Where an arm's prompts come from."""

    prompts: Literal["query", "stored", "policy"] = Field(
        description="query: x itself; stored: rows that another stage wrote; policy: sampled from a model folder."
    )
    source: str = Field(description="The file or model folder that the arm reads; a dep of its stages.")


class Evaluate(Section):
    arms: dict[str, EvaluatedArm]
    versus: tuple[tuple[str, str], ...] = Field(description="Paired differences (arm, versus) to report.")
    bootstrap: int = Field(ge=100)
    allow_same_judge: bool

    @model_validator(mode="after")
    def versus_names_arms(self):
        if unknown := sorted({name for pair in self.versus for name in pair} - self.arms.keys()):
            raise ValueError(f"versus names {', '.join(unknown)}, which evaluate.arms does not have")
        return self


class Package(Section):
    name: str
    license: str
    held_out_share: float = Field(ge=0, lt=1)


class World(Section):
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


class Params(Section):
    """All of params.yaml."""

    base: Base
    queries: Queries
    teacher: Teacher
    judge: Teacher
    fewshot: Fewshot
    critique: Critique
    refine: Refine
    d_sft: DSft
    base_model: BaseModelParams
    sft: Sft
    policy: Policy
    rollout: Rollout
    dpo: Dpo
    d_dpo: DDpo
    render: Render
    reward: Reward
    evaluate: Evaluate
    package: Package
    world: World

    @model_validator(mode="after")
    def noise_is_measured_before_it_is_beaten(self):
        if self.dpo.min_effect is not None and not self.reward.replicate:
            raise ValueError("dpo.min_effect needs reward.replicate above 0: the noise is measured by a second render")
        return self

    @model_validator(mode="after")
    def a_teacher_that_can_shortens(self):
        if self.render.long_prompts == "shorten" and self.teacher.backend == "offline":
            raise ValueError("render.long_prompts shorten needs teacher.backend openai: the offline one cannot shorten")
        return self
