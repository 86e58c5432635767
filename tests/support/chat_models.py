"""Tokenizers of a few words in the chat formats of real models: the templates that TRL ships, and two made here.

Special tokens, BOS and PAD are each family's; with `bos` a text gets one in front, as Llama's and Gemma's do.
"""

from importlib.resources import files
from typing import NamedTuple


class Family(NamedTuple):
    """What a family's tokenizer has; `pad` None: none. `stop` ends an answer."""

    template: str
    special: tuple[str, ...]
    bos: str | None
    eos: str
    pad: str | None
    stop: str


SMOLLM2 = """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM<|im_end|>\\n' }}{% endif %}\
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
MISTRAL = """\
{{ bos_token }}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}\
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}\
{% else %}{{ raise_exception('no system role') }}{% endif %}{% endfor %}"""
CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
LLAMA = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def shipped(name: str) -> str:
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def families() -> dict[str, Family]:
    return {
        "qwen2.5": Family(shipped("qwen2_5"), CHATML, None, "<|im_end|>", "<|endoftext|>", "<|im_end|>"),
        "qwen3": Family(
            shipped("qwen3"), (*CHATML, "<think>", "</think>"), None, "<|im_end|>", "<|endoftext|>", "<|im_end|>"
        ),
        "gemma3": Family(
            shipped("gemma3"), ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"), "<bos>", "<eos>",
            "<pad>", "<end_of_turn>",
        ),
        "smollm2": Family(SMOLLM2, CHATML, None, "<|im_end|>", "<|im_end|>", "<|im_end|>"),
        "llama3": Family(shipped("llama3"), LLAMA, LLAMA[0], "<|eot_id|>", None, "<|eot_id|>"),
        "llama3.2": Family(shipped("llama3_2"), LLAMA, LLAMA[0], "<|eot_id|>", None, "<|eot_id|>"),
        "mistral": Family(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "<s>", "</s>", None, "</s>"),
    }  # fmt: skip


def make_tokenizer(family: Family, template: str | None = "its own"):
    """Return a byte-level tokenizer with the family's special tokens; another `template` takes the place of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*family.special, *alphabet])}
    bpe = Tokenizer(models.BPE(vocabulary, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    if family.bos:
        bpe.post_processor = processors.TemplateProcessing(
            f"{family.bos} $A", None, [(family.bos, vocabulary[family.bos])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=family.bos, eos_token=family.eos, pad_token=family.pad,
        extra_special_tokens=list(family.special), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = family.template if template == "its own" else template
    return tokenizer


def write_model(folder, tokenizer, **generation):
    """Write a tiny untrained Llama with this tokenizer; `generation` goes into its generation_config."""
    from train.tiny_llama import build_tiny_llama

    special = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    model = build_tiny_llama(len(tokenizer), 32, 1, 2, 0, special)
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
