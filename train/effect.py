"""Refuses a training without effect: fewer pairs than one batch, or weights that are still the origin's.

Ours: such an arm would stand in the comparison under a name that it does not deserve.
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.runtime.io import DataError


class TooFewRows(DataError):
    """Rows that do not make one batch, perhaps none at all."""


def refuse_less_than_a_batch(n_rows: int, global_batch_size: int, name: str) -> None:
    """Raise TooFewRows where the rows to train model `name` on are fewer than one global batch."""
    if n_rows < global_batch_size:
        raise TooFewRows(
            f"{name}: {n_rows} rows to train on are fewer than one batch of {global_batch_size}: no step would be a "
            "whole one; make more of them, or lower global_batch_size"
        )


def refuse_unchanged(saved: Path, origin: Path, name: str) -> None:
    """Raise DataError where the weights of folder `saved` equal those of `origin`; `name` is the trained model's."""
    if have_equal_weights(saved, origin):
        raise DataError(
            f"{name}: after training the weights are those of {origin.name}, so it would be compared with itself: "
            "too few steps (one step of warm-up has a rate of 0), too low a learning_rate, or steps that policy.dtype "
            "rounds away"
        )


def have_equal_weights(one: Path, other: Path) -> bool:
    """Return whether two model folders hold the same tensors under the same names; precision is no difference.

    Read tensor by tensor, up to the first that differs.
    """
    from safetensors import safe_open

    files, other_files = find_tensors(one), find_tensors(other)
    for name, file in files.items():
        if name not in other_files:
            continue  # a tied weight that one of the two does not store
        with safe_open(file, framework="pt") as left, safe_open(other_files[name], framework="pt") as right:
            tensor, before = left.get_tensor(name), right.get_tensor(name)
            if tensor.shape != before.shape or not tensor.float().equal(before.float()):
                return False
    return bool(files.keys() & other_files.keys())


def find_tensors(folder: Path) -> Mapping[str, Path]:
    """Return the safetensors file of each tensor of a model folder."""
    from safetensors import safe_open

    tensors: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors |= dict.fromkeys(file.keys(), path)
    return tensors
