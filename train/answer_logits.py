"""The vocabulary's layer where there is something to learn: over the answers' tokens, not the instruction's."""

PLAIN_SHAPES = ("cpu", "cuda", "mps", "xpu")
"""Devices that compile nothing for a batch of another shape; on others (Neuron) TRL scores all tokens for that."""


def score_answers_alone(alone: bool = True) -> None:
    """Let TRL's trainers of this process run the vocabulary's layer over the tokens that have a label, alone.

    TRL 1.16 does so where Triton runs and elsewhere over every token, then throws the instruction's away; the sums are
    the same and so is the gathering of the layer under ZeRO-3, once a forward pass whatever it is run over. There is no
    argument for it, so the name that its forward pass asks is set. `alone=False` brings TRL's own choice back.
    """
    from trl.kernels.chunked_logprob import _use_triton
    from trl.trainer import utils

    utils._use_triton = (lambda device: device.type in PLAIN_SHAPES) if alone else _use_triton
