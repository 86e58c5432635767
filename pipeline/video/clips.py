"""Clips as bytes: frames to mp4 and back, tar shards with a manifest's offsets, and the clips already paid for.

mp4 with H.264 that browsers play; scores are keyed by the hash of the decoded frames (ours).
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.runtime.io import DataError, replacing_folder
from pipeline.runtime.store import Store
from schemas.render import Render
from schemas.seams import Clip

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# crf with mbtree or lookahead gave other bytes from equal frames in 57 of 150 encodings, these settings in 0 of 550
ENCODER = {"preset": "veryfast", "qp": "18", "x264-params": "mbtree=0:rc-lookahead=0:threads=1"}

MOST_PIXELS = 4096 * 2304
"""ours: a frame of 4K; a file of some kilobytes can name any size"""
MOST_BYTES = 2 << 30
"""ours: 12 s of the largest frames that hosts sell, decoded"""
BOUNDED = {"max_pixels": str(MOST_PIXELS)}
"""and no other format than mp4 is tried: FFmpeg would follow the addresses of a playlist"""


class BadClip(Exception):
    """The bytes are not a video that can be decoded."""


def make_clip(
    frames: np.ndarray, frames_per_second: float, n_tokens: int | None = None, truncated: bool = False
) -> Clip:
    """Encode frames, uint8 RGB (n, height, width, 3), and hash what a reader will decode."""
    content = encode(frames, frames_per_second)
    n, height, width, _ = frames.shape
    return Clip(content, n, height, width, frames_per_second, frames_hash(decode(content)), n_tokens, truncated)


def encode(frames: np.ndarray, frames_per_second: float) -> bytes:
    """Return frames, uint8 RGB (n, height, width, 3), as mp4; equal frames give equal bytes.

    Raises DataError for an odd height or width, which yuv420p cannot hold.
    """
    import av
    from av.video.reformatter import VideoReformatter

    n, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise DataError(f"a clip of {height} x {width} pixels: render.height and render.width must be even")
    buffer, reformat = io.BytesIO(), VideoReformatter().reformat
    # room for the index in front lets a browser play before it has the whole file; faststart needs a file on disk
    room = {"moov_size": str(2048 + 32 * n)}
    with av.open(buffer, "w", format="mp4", options=room) as container:
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = ENCODER
        for index, frame in enumerate(frames):
            picture = reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"), format="yuv420p"
            )
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


def open_video(content: bytes, kind: str) -> "InputContainer":
    """Return the container of a file of FFmpeg's format `kind`. Raises av.FFmpegError."""
    import av

    # titles and the like are nothing to us, and need not be UTF-8
    return av.open(io.BytesIO(content), format=kind, options=BOUNDED, metadata_errors="replace")


def video_of(container: "InputContainer") -> "VideoStream":
    """Return the first video stream of an opened file. Raises BadClip where there is none that can be decoded."""
    if not container.streams.video:
        raise BadClip("no video in it" + (", sound alone" if container.streams.audio else ""))
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise BadClip("a video of a codec that nobody knows")
    return stream


def rate(content: bytes) -> float:
    """Return the frames per second that a video file tells. Raises BadClip."""
    import av

    try:
        with open_video(content, "mp4") as container:
            frames_per_second = video_of(container).average_rate
    except av.FFmpegError as fault:
        raise BadClip(f"{type(fault).__name__}: {fault}") from None
    if not frames_per_second:
        raise BadClip("no frame rate")
    return float(frames_per_second)


@lru_cache(maxsize=1)
def decode(content: bytes) -> np.ndarray:
    """Return the frames of a video file, uint8 RGB (n, height, width, 3), read-only.

    Raises BadClip, also for a file that ends too early, is damaged, or would not fit into memory. The last clip is
    kept, so that several reward models on one clip decode it once.
    """
    import av
    from av.video.reformatter import VideoReformatter

    reformat, frames, n_packets, size = VideoReformatter().reformat, [], 0, 0
    try:
        with open_video(content, "mp4") as container:
            stream = video_of(container)
            refuse_huge(stream.width, stream.height, stream.frames)
            context, n_expected = stream.codec_context, stream.frames
            context.thread_count = 1
            # else a damaged picture is guessed from its neighbours
            context.options = BOUNDED | {"err_detect": "explode"}
            for packet in container.demux(stream):
                n_packets += packet.size > 0
                for frame in packet.decode():
                    size += frame.width * frame.height * 3
                    if size > MOST_BYTES:
                        raise BadClip(f"more than {MOST_BYTES >> 20} MiB of pixels")
                    frames.append(reformat(frame, format="rgb24").to_ndarray())
    except av.FFmpegError as fault:
        raise BadClip(f"{type(fault).__name__}: {fault}") from None
    if n_packets < n_expected:
        raise BadClip(f"cut off: {n_packets} of {n_expected} frames are there")
    if not frames:
        raise BadClip("no frames")
    if len({frame.shape for frame in frames}) > 1:
        raise BadClip("frames of several sizes")
    decoded = np.stack(frames)
    decoded.setflags(write=False)
    return decoded


def refuse_huge(width: int, height: int, n_frames: int) -> None:
    """Raise BadClip for a video beyond what may be decoded, by what its header tells."""
    if width * height > MOST_PIXELS:
        raise BadClip(f"{height} x {width} pixels are more than the {MOST_PIXELS} that a frame may have")
    if width * height * n_frames * 3 > MOST_BYTES:
        raise BadClip(f"{n_frames} frames of {height} x {width} are more than {MOST_BYTES >> 20} MiB of pixels")


def frames_hash(frames: np.ndarray) -> str:
    """Return 32 hex digits of the SHA-256 over shape and pixels; encoders may differ in bytes, readers see pixels."""
    return hashlib.sha256(str(frames.shape).encode() + np.ascontiguousarray(frames).tobytes()).hexdigest()[:32]


class ClipStore:
    """The clips paid for so far, by video_id: the mp4 as a file, what is known about it as an answer."""

    def __init__(self, store: Store | None = None):
        self.store = store or Store()

    def get(self, video_id: str) -> dict | None:
        """Return the facts of a stored clip, or None when there is none or its bytes are not what was stored."""
        facts = self.store.get(video_id)
        if facts is None:
            return None
        try:
            content = self.path(video_id).read_bytes()
        except FileNotFoundError:
            return None
        return facts if _digest(content) == facts["content_hash"] else None

    def put(self, video_id: str, clip: Clip) -> dict:
        """Keep a clip: first the file, whole or not at all, then its facts, so that facts always have a file."""
        facts = {name: value for name, value in asdict(clip).items() if name != "content"}
        facts |= {"video_id": video_id, "content_hash": _digest(clip.content)}
        path = self.path(video_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(clip.content)
        temporary.chmod(0o600)
        os.replace(temporary, path)
        self.store.forget(video_id)
        self.store.put(video_id, "clip", {"video_id": video_id}, facts)
        return facts

    def path(self, video_id: str) -> Path:
        return self.store.file(video_id, ".mp4")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Place(NamedTuple):
    """Where a clip lies: name of the shard, first byte, bytes."""

    shard: str
    offset: int
    size: int


class Packed(NamedTuple):
    """A clip to put into a shard: its mp4 file and the SHA-256 that the file must have; None asks for none."""

    video_id: str
    path: Path
    content_hash: str | None = None


def write_shards(folder: Path, clips: Iterable[Packed], clips_per_shard: int) -> dict[str, Place]:
    """Pack clips into tar shards in order of video_id; return each clip's place.

    WebDataset's naming (`<video_id>.mp4`), headers without time or owner. The folder is absent or complete, and holds
    no shard of an earlier run. Raises DataError for a file that is not what was rendered.
    """
    places: dict[str, Place] = {}
    with replacing_folder(folder, owns=("[0-9][0-9][0-9][0-9][0-9].tar",)) as temporary:
        ordered = sorted({clip.video_id: clip for clip in clips}.values())
        for number, start in enumerate(range(0, len(ordered), clips_per_shard)):
            shard = f"{number:05d}.tar"
            with tarfile.open(temporary / shard, "w", format=tarfile.USTAR_FORMAT) as tar:
                for clip in ordered[start : start + clips_per_shard]:
                    content = clip.path.read_bytes()
                    if clip.content_hash not in (None, _digest(content)):
                        raise DataError(f"{clip.path}: changed since it was rendered; run again to render it anew")
                    header = tarfile.TarInfo(f"{clip.video_id}.mp4")
                    header.size = len(content)
                    places[clip.video_id] = Place(shard, tar.offset + tarfile.BLOCKSIZE, header.size)
                    tar.addfile(header, io.BytesIO(content))
    return places


def shard_folder(manifest: str | Path) -> Path:
    """Return the folder of a manifest's shards: data/dpo/render.parquet -> data/dpo/render"""
    return Path(manifest).with_suffix("")


def read_clip(folder: str | Path, row: Render) -> bytes:
    """Return the mp4 of a manifest's row. Raises DataError when the shard is not the one the manifest was made with."""
    path = Path(folder) / row.shard
    mend = "manifest and shards do not belong together; `dvc checkout` brings back both"
    try:
        with path.open("rb") as file:
            file.seek(row.offset - tarfile.BLOCKSIZE)
            header, content = file.read(tarfile.BLOCKSIZE), file.read(row.size)
    except FileNotFoundError:
        raise DataError(f"{path}: no such shard; {mend}") from None
    if header[:100].rstrip(b"\0") != f"{row.video_id}.mp4".encode():
        raise DataError(f"{path}: byte {row.offset} is not the start of {row.video_id}.mp4; {mend}")
    if len(content) != row.size:
        raise DataError(f"{path}: ends {row.size - len(content)} bytes before {row.video_id}.mp4 does; {mend}")
    if _digest(content)[:32] != row.clip_hash:
        raise DataError(f"{path}: another clip lies in the place of {row.video_id}.mp4; {mend}")
    return content
