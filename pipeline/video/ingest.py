"""Clips that come from outside: looked at before they are taken, and put into the one form that we keep.

A host or a program may give anything: a page that says "error", a file that ends too early, another size than was
asked for. Each is a BadClip whose text says what came.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.video.clips import (
    BOUNDED,
    BadClip,
    decode,
    frames_hash,
    make_clip,
    open_video,
    refuse_huge,
    video_of,
)
from schemas.params_render import RendererParams
from schemas.seams import Clip

CODECS = {"h264", "hevc", "mpeg4", "av1", "libdav1d", "libaom-av1", "vp9"}
"""ours: what generators write; FFmpeg knows hundreds, and every one of them reads bytes of others"""
OTHER_FILES = {
    b"\x1aE\xdf\xa3": "a webm or Matroska video",
    b"GIF8": "a GIF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"RIFF": "a WebP, AVI or WAV file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
}
PICTURES = (b"\x89PNG", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Shape:
    """The shape that was asked for; None takes what comes."""

    n_frames: int | None = None
    height: int | None = None
    width: int | None = None
    frames_per_second: float | None = None

    @classmethod
    def of(cls, params: RendererParams) -> "Shape":
        return cls(params.n_frames, params.height, params.width, params.frames_per_second)


def ingest(content: bytes, shape: Shape) -> Clip:
    """Return a clip that was made elsewhere. Raises BadClip.

    An mp4 that browsers play and seek is kept byte for byte, another one is encoded anew; where one frame was asked
    for, a PNG or JPEG picture is one. Sizes must be as asked, and the rate within half a percent: 23.976 is 24.
    """
    if shape.n_frames == 1 and content.startswith(PICTURES):
        frames = _picture(content)
        _refuse_other_shape(frames, shape)
        return make_clip(_even(frames), shape.frames_per_second or 1.0)
    _refuse_other_files(content)
    boxes = [kind for kind, _ in _boxes(content)]
    playable, rate = _header(content)
    frames = decode(content)
    _refuse_other_shape(frames, shape)
    if len(frames) == 1:  # the rate of a picture says nothing
        rate = shape.frames_per_second or rate or 1.0
    if not rate:
        raise BadClip("no frame rate")
    if shape.frames_per_second and abs(rate / shape.frames_per_second - 1) > 0.005:
        raise BadClip(f"{rate:g} frames a second, asked for {shape.frames_per_second:g}")
    in_front = "mdat" in boxes and "moov" in boxes[: boxes.index("mdat")] and "moof" not in boxes
    if not (playable and in_front and content[8:12] != b"qt  "):
        return make_clip(_even(frames), rate)
    n, height, width, _ = frames.shape
    return Clip(content, n, height, width, rate, frames_hash(frames))


def _refuse_other_files(content: bytes) -> None:
    if not content:
        raise BadClip("an empty file")
    for start, name in OTHER_FILES.items():
        if content.startswith(start):
            raise BadClip(f"{name}, not an mp4 video")
    if content[4:8] == b"ftyp":
        return
    try:
        text = content[:400].decode()
    except UnicodeDecodeError as fault:
        if fault.start < len(content[:400]) - 3:  # not just a character that the cut left half
            raise BadClip("not an mp4 video") from None
        text = content[: fault.start].decode()
    if text.isprintable() or any(sign in text for sign in "<{\n"):
        raise BadClip(f"text, not a video: {' '.join(text.split())[:80]}")
    raise BadClip("not an mp4 video")


def _boxes(content: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and bytes of each outermost box of an mp4. Raises BadClip where the file ends within one."""
    start = 0
    while start < len(content):
        head, kind = content[start : start + 16], content[start + 4 : start + 8]
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        elif size == 0:  # to the end of the file
            size = len(content) - start
        if size < 8 or start + size > len(content):
            raise BadClip(f"cut off: {len(content)} bytes of at least {start + max(size, 8)}")
        yield kind.decode("latin-1"), size
        start += size


def _header(content: bytes) -> tuple[bool, float]:
    """Return whether browsers play the stream, and its frames per second, 0 where it tells none."""
    import av

    try:
        with open_video(content, "mp4") as container:
            stream = video_of(container)
            context = stream.codec_context
            refuse_huge(stream.width, stream.height, stream.frames)
            if context.name not in CODECS:
                raise BadClip(f"a video of {context.name}: this is no codec of video generators")
            return context.name == "h264" and context.pix_fmt == "yuv420p", float(stream.average_rate or 0)
    except av.FFmpegError as fault:
        raise BadClip(f"{type(fault).__name__}: {fault}") from None


def _picture(content: bytes) -> np.ndarray:
    """Return a PNG or JPEG as frames, uint8 RGB (1, height, width, 3)."""
    import av
    from av.video.reformatter import VideoReformatter

    name = "png_pipe" if content.startswith(PICTURES[0]) else "jpeg_pipe"
    try:
        with open_video(content, name) as container:
            stream = video_of(container)
            refuse_huge(stream.width, stream.height, 1)
            stream.codec_context.options = BOUNDED | {"err_detect": "explode"}
            frames = [VideoReformatter().reformat(frame, format="rgb24") for frame in container.decode(stream)]
    except av.FFmpegError as fault:
        raise BadClip(f"{type(fault).__name__}: {fault}") from None
    if len(frames) != 1:
        raise BadClip(f"a picture of {len(frames)} frames")
    return frames[0].to_ndarray()[None]


def _refuse_other_shape(frames: np.ndarray, shape: Shape) -> None:
    n, height, width, _ = frames.shape
    if shape.n_frames not in (None, n):
        raise BadClip(f"{n} frames, asked for {shape.n_frames}")
    if shape.height not in (None, height) or shape.width not in (None, width):
        wanted = f"{shape.height or 'any'} x {shape.width or 'any'}"
        raise BadClip(f"{height} x {width} pixels, asked for {wanted}")


def _even(frames: np.ndarray) -> np.ndarray:
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise BadClip(f"{height} x {width} pixels: yuv420p, which browsers play, has even sizes alone")
    return frames
