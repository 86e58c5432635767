"""A tokenizer's chat format made fit for us: one answer behind one request, without thinking, the same on every day.

What is changed is changed in the template itself, so that training, rollouts and whoever serves the trained folder read
the same words.
"""

from typing import TYPE_CHECKING

from pipeline.runtime.io import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = """\
{{- bos_token or '' }}
{%- for message in messages %}
{{- {'user': 'Instruction', 'assistant': 'Answer'}.get(message['role'], 'Context') + ':\\n' }}
{{- message['content'] | trim }}
{{- eos_token if message['role'] == 'assistant' else '' }}
{{- '\\n\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'Answer:\\n' }}
{%- endif %}
"""
OURS = {"plain": PLAIN}
"""Our formats by the name that base_model.chat_template gives: for base models, which have no tokens of a chat."""
NO_THINKING = "{%- set enable_thinking = false -%}"
"""Qwen3 and others: the answer follows an empty think block that the prompt holds, so that none is paid or trained."""
NO_DATE = "{%- macro strftime_now(form) -%}26 Jul 2024{%- endmacro -%}"
"""Llama 3.2 and others write the day into the prompt; theirs for whoever knows no day. Else a rollout had no seed."""
ANSWER = "XQX"  # stands for the answer while its surroundings are looked at
REQUEST = [{"role": "user", "content": "a dog on grass"}]


def prepare_tokenizer(tokenizer: "PreTrainedTokenizerBase", ours: str | None, model: str) -> None:
    """Give the tokenizer of `model` a chat format that we can ask and train by, and a token to pad with.

    `ours` names one of our formats, which then takes the place of the model's own. Raises DataError for a model without
    one where none is named, and for a format that has no place for an answer without thinking, or no end of it.
    """
    if ours:
        tokenizer.chat_template = OURS[ours]
    template = tokenizer.chat_template
    if not template:
        raise DataError(
            f"{model}: the tokenizer has no chat template; take an instruct model, or set base_model.chat_template to "
            f"{' or '.join(OURS)}, a format of ours that SFT then teaches"
        )
    if tokenizer.eos_token is None:
        raise DataError(f"{model}: the tokenizer has no token that ends a text, so that no answer would end")
    if isinstance(template, str):
        for word, change in (("enable_thinking", NO_THINKING), ("strftime_now", NO_DATE)):
            if word in template and change not in template:
                template = change + template
        tokenizer.chat_template = template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # as TRL does
    prompt, behind = split_format(tokenizer, model)
    if prompt.rstrip().endswith("<think>"):
        raise DataError(f"{model}: its chat template has every answer begin with thinking; take a model without")
    if not behind.strip():
        raise DataError(f"{model}: its chat template writes no end behind an answer, so that none would be learnt")


def split_format(tokenizer: "PreTrainedTokenizerBase", model: str) -> tuple[str, str]:
    """Return what stands before an answer, and what stands behind it.

    Raises DataError where the prompt that asks for an answer is not how a text with the answer begins.
    """
    prompt = tokenizer.apply_chat_template(REQUEST, add_generation_prompt=True, tokenize=False)
    turns = [*REQUEST, {"role": "assistant", "content": ANSWER}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    before, answer, behind = whole.partition(ANSWER)
    if not answer or before.strip() != prompt.strip():
        raise DataError(
            f"{model}: its chat template puts other words before an answer ({before[-60:]!r}) than those by which it "
            f"asks for one ({prompt[-60:]!r})"
        )
    return prompt, behind


def find_stop(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the token that ends an answer in the chat format, which need not be the one that ends a text (Gemma).

    None where the format ends it by words.
    """
    _, behind = split_format(tokenizer, "the model")
    ids = tokenizer(behind.lstrip(), add_special_tokens=False)["input_ids"]
    return ids[0] if ids and ids[0] in {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} else None
