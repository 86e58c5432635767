"""A model's processor of pictures and text, and what its tokenizer takes for more than text."""

import inspect
from typing import Any

from pipeline.runtime.io import DataError


def load_chat_processor(model: str, revision: str | None) -> Any:
    """Return the model's processor without its video part, which needs torchvision; pictures go through Pillow."""
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    config = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False)
    if type(config) not in PROCESSOR_MAPPING:
        raise DataError(f"{model}: a {config.model_type} has no processor of pictures and text in transformers")
    # torchvision rounds otherwise than Pillow, and scores must not depend on what else is installed
    kind = pictures_only(PROCESSOR_MAPPING[type(config)])
    processor = kind.from_pretrained(model, revision=revision, backend="pil", trust_remote_code=False)
    if not getattr(processor, "chat_template", None):
        raise DataError(f"{model}: its processor has no chat template, so it cannot be asked")
    return processor


def pictures_only(kind: Any) -> Any:
    """Return a processor class that wants no video processor."""
    if "video_processor" not in inspect.signature(kind.__init__).parameters:
        return kind

    class PicturesOnly(kind):
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **kwargs: Any
        ) -> None:
            super().__init__(
                image_processor=image_processor, tokenizer=tokenizer, chat_template=chat_template, **kwargs
            )

    PicturesOnly.__name__ = kind.__name__  # what save_pretrained writes
    return PicturesOnly


def markers(processor: Any) -> list[str]:
    """Return what the tokenizer reads as one token out of plain text: the chat's turns, places of pictures."""
    names = {str(token) for token in processor.tokenizer.get_added_vocab()} | {*processor.tokenizer.all_special_tokens}
    names |= {getattr(processor, name, None) or "" for name in ("image_token", "video_token")}
    # runs of blanks, and words that a tokenizer was taught, are no markers
    odd = (item for item in names if len(item.strip()) > 1 and not item.isalnum())
    return sorted(odd, key=lambda item: (-len(item), item))


def plain(text: str, markers: list[str]) -> str:
    """Return user text in which no marker is left: a blank after the marker's first letter breaks it."""
    while marker := next((item for item in markers if item in text), None):
        text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text


def visual_tokens(processor: Any, config: Any) -> set[int]:
    """Return the ids of the tokens that stand for pictures or videos."""
    ids = [getattr(config, f"{kind}_token_{end}", None) for kind in ("image", "video") for end in ("id", "index")]
    ids += [getattr(processor, f"{kind}_token_id", None) for kind in ("image", "video")]
    return {token for token in ids if isinstance(token, int)}


def one_token_words(tokenizer: Any, word: str) -> list[int]:
    """Return the tokens that are `word` alone: lower, capital or upper case, with or without a blank before."""
    spelled = [f"{blank}{case}" for blank in ("", " ") for case in (word, word.capitalize(), word.upper())]
    written = [tokenizer(item, add_special_tokens=False)["input_ids"] for item in spelled]
    return sorted({row[0] for row in written if len(row) == 1 and row[0] != tokenizer.unk_token_id})
