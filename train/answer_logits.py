"""The vocabulary's layer as a laptop can afford it: over the answers' tokens, not the instruction's, in small tiles."""

PLAIN_SHAPES = ("cpu", "cuda", "mps", "xpu")
"""Devices that compile nothing for a batch of another shape; on others (Neuron) TRL scores all tokens for that."""

TILE_TOKENS, TILE_WORDS = 512, 8192
"""The tile of logits that a CPU works on: 16 MB in float32, where TRL's own, made for a GPU's memory, is 537 MB."""


def score_answers_alone(alone: bool = True) -> None:
    """Let TRL's trainers of this process run the vocabulary's layer over the tokens that have a label, alone.

    TRL 1.16 does so where Triton runs and elsewhere over every token, then throws the instruction's away; the sums are
    the same and so is the gathering of the layer under ZeRO-3, once a forward pass whatever it is run over. There is no
    argument for it, so the name that its forward pass asks is set. `alone=False` brings TRL's own choice back.
    """
    from trl.kernels.chunked_logprob import _use_triton
    from trl.trainer import utils

    utils._use_triton = (lambda device: device.type in PLAIN_SHAPES) if alone else _use_triton


def work_on_small_tiles() -> None:
    """Let TRL's vocabulary layer take tiles that a CPU's caches and memory hold, unless there is a GPU.

    Five tensors of a tile's size live at once, so with a vocabulary of 32,000 and more TRL's tiles were most of what
    training took beside weights and optimizer. The sums over the vocabulary are the same, added in smaller parts.
    """
    import torch
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    if not torch.cuda.is_available():
        chunked_logprob.TOKEN_CHUNK_SIZE = TILE_TOKENS
        utils._CHUNKED_LOGPROB_CHUNK_SIZE = TILE_WORDS
