"""The row of stage `d_dpo`."""

from schemas.base import Pair


class DDpo(Pair):
    """D_dpo = D_text u D_video."""
