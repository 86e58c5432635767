"""Opens a Hub dataset of raw queries as a table, pinned to a commit and streamed (VidProM: WenhaoWang/VidProM)."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pipeline.curation.files import RecordTable
from pipeline.runtime.io import DataError

T = TypeVar("T")


def open_hub(path: str, revision: str) -> RecordTable:
    """Return the table of dataset `path` (owner/name): split train, or its only split.

    Raises DataError without the extra `hub`, and when the Hub gives no data.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise DataError("queries.source hub needs datasets: pip install -e '.[hub]'") from None
    splits = _request(path, revision, lambda: load_dataset(path, revision=revision, streaming=True))
    if "train" not in splits and len(splits) > 1:
        raise DataError(f"{path}: has the splits {', '.join(splits)} and no train; download one file and name it")
    rows = iter(splits["train" if "train" in splits else next(iter(splits))])
    first = _request(path, revision, lambda: next(rows, None))
    if first is None:
        raise DataError(f"{path}: holds no queries at {revision}")

    def iterate(columns: Sequence[str]) -> Iterator[object]:
        row = first
        while row is not None:
            yield row
            row = _request(path, revision, lambda: next(rows, None))

    return RecordTable(list(first), iterate)


def _request(path: str, revision: str, request: Callable[[], T]) -> T:
    try:
        return request()
    except (OSError, ValueError, RuntimeError) as fault:
        line = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise DataError(
            f"{path} at {revision}: the Hub gave no data: {line[:300]}; "
            "check queries.path and queries.revision, the network and HF_HUB_OFFLINE"
        ) from None
