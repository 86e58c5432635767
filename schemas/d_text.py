"""The row of stage `d_text`."""

from schemas.base import Pair


class DText(Pair):
    """D_text: p_refined over p."""
