"""One thread for a tiny model: with more of them sums end on other bits, and its steps take four times as long."""

from pathlib import Path

TINY = 40_000_000  # bytes of weights


def use_one_thread(folder: str | Path) -> None:
    """Set torch to one thread when the model in `folder` is tiny (ours: equal bytes with any number of cores)."""
    import torch

    if sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")) < TINY:
        torch.set_num_threads(1)
