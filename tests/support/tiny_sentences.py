"""A sentence-embedding model whose neighbours are known: a word has a direction, those that mean the same have one."""

import importlib.util
from pathlib import Path

import pytest

MEANINGS = {
    "dog": 0, "hound": 0, "puppy": 0, "runs": 1, "sprints": 1, "beach": 2, "shore": 2, "cat": 3, "sleeps": 4, "sofa": 5,
}  # fmt: skip


def write(folder: Path) -> Path:
    """Write the model, whose vector of a text is the mean of its words' directions; other words have none.

    The test is skipped where the library is not installed.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("no sentence-transformers: pip install -e '.[semantic]'")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = ["[UNK]", *MEANINGS]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    weights = torch.zeros(len(words), max(MEANINGS.values()) + 1)
    for number, word in enumerate(words[1:], 1):
        weights[number, MEANINGS[word]] = 1
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.numpy())], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
