"""The row of stage `d_video`."""

from schemas.base import Pair


class DVideo(Pair):
    """D_video: the prompt whose clip scored higher over the one whose clip scored lower."""
