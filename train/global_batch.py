"""The arithmetic of the global batch: how many rows a process takes at a time, and how often before a step."""

from pipeline.runtime.io import DataError
from schemas.params_train import TrainParams


def split_global_batch(params: TrainParams, processes: int) -> tuple[int, int]:
    """Return (micro-batch, accumulation), in rows and in passes a step.

    Their product with `processes` is exactly the global batch. Raises DataError with the arithmetic where there is no
    such pair.
    """
    wanted, micro = params.global_batch_size, params.per_device_train_batch_size
    share, rest = divmod(wanted, processes)
    if rest:
        possible = [f"{n * processes}" for n in (share, share + 1) if n]
        raise DataError(
            f"global_batch_size {wanted} cannot be had from {processes} processes: {wanted} / {processes} leaves "
            f"{rest}; ask for {' or '.join(possible)}"
        )
    micro = micro or share
    accumulation, rest = divmod(share, micro)
    if rest or not accumulation:
        raise DataError(
            f"global_batch_size {wanted} cannot be had: {processes} processes x per_device_train_batch_size {micro} = "
            f"{processes * micro}, and {wanted} is no multiple of it"
        )
    return micro, accumulation
