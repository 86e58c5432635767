"""The types of the sections that trainers read: `sft` and `dpo.train` of params.yaml."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from schemas.section import Section


class LoraParams(Section):
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


class TrainParams(Section):
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
    lora: LoraParams | None = Field(
        description="Null: all weights are trained. Adapters are merged into what is saved."
    )
    launch: Literal["auto", "single", "zero3", "zero3_offload", "multi_node"]
    checkpoint_s: float | None = Field(ge=0, description="Seconds of training between checkpoints; null: none.")
    report_to: Literal["none", "trackio", "wandb", "mlflow"]


class SftParams(TrainParams):
    padding_free: bool = Field(description="Rows of a micro-batch end to end, without padding; same loss.")

    @model_validator(mode="after")
    def padding_free_cuts_nothing(self) -> "SftParams":
        if self.padding_free and self.long_rows == "truncate":
            raise ValueError("padding_free cannot truncate: set long_rows to drop or refuse")
        return self


class DpoTrainParams(TrainParams):
    beta: float = Field(gt=0)
    precompute_ref_log_probs: bool
    held_out_share: float = Field(ge=0, lt=0.5, description="Share of the queries whose pairs only measure.")
