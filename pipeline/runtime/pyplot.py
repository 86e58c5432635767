"""Opens matplotlib so that equal inputs give equal bytes, and writes its figures."""

import warnings
from pathlib import Path
from typing import Any

from pipeline.runtime.io import DataError

WIDEST = 1200
"""pixels that fit into the window of a browser, where `dvc plots show` puts the pictures as they are"""


def open_pyplot() -> Any:
    """Return matplotlib.pyplot with its own defaults and no screen. Raises DataError where it is missing."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise DataError("matplotlib is missing, which draws the figures: pip install -e '.[plots]'") from None
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.rcdefaults()  # a person's matplotlibrc must not change the bytes
    return plt


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure as PNG, no wider than WIDEST, and close it."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # queries come in every script
        figure.savefig(path, dpi=min(110, WIDEST / figure.get_figwidth()), metadata={"Software": None})
    plt.close(figure)
