"""Low-rank adapters: their config for TRL, and the merge into plain weights before a model is saved.

Prompt-A-Video trains so (S3 App. B) and merges an adapter before the next round; the reference of DPO is the model with
its adapter switched off.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from schemas.params_train import LoraParams

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


def make_peft_config(lora: LoraParams | None) -> "LoraConfig | None":
    """Return peft's LoraConfig, None where all weights are trained."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=sorted(lora.target_modules),
        task_type="CAUSAL_LM",
    )


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter and no model of its own."""
    return (folder / "adapter_config.json").is_file()


def merge_in_place(trained: "PreTrainedModel") -> "PreTrainedModel":
    """Return the plain model with its adapter merged into the weights; beside it, one layer is copied at a time."""
    return trained.merge_and_unload(safe_merge=True)


def merge_adapter(adapter: Path, trained: "PreTrainedModel", dtype: str, saved_dtype: str, folder: Path) -> None:
    """Write the base model with the adapter merged into its weights to `folder`; one process does it, on the CPU.

    For a model that ZeRO shards: no process has its weights, so the base is loaded once more, in the `dtype` of the
    training, and saved in `saved_dtype` (`count_merge_bytes`). `trained` is the model that carries the adapter: its
    config goes along, as TRL has set it.
    """
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # ZeRO-3 would shard what this process alone loads, and wait for the others
    base = PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True)
    merged = merge_in_place(PeftModel.from_pretrained(plain, str(adapter)))
    merged.config.pad_token_id = trained.config.pad_token_id
    merged.generation_config = trained.generation_config
    merged.config.use_cache = True
    merged.to(getattr(torch, saved_dtype)).save_pretrained(str(folder))
