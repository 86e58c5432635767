import io
import random
from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.video.clips import MOST_PIXELS, BadClip, decode, encode, frames_hash
from pipeline.video.ingest import Shape, ingest
from tests.support.pictures import moving

ANY = Shape()
FRAMES = moving(n=12, height=64, width=96)
CLIP = encode(FRAMES, 8)


def written(codec="libx264", pix_fmt="yuv420p", container="mp4", n=12, rate=8, codec_options=None, **options) -> bytes:
    """The frames as another program would write them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *FRAMES.shape[1:3], pix_fmt
        stream.options = codec_options or {}
        for frame in FRAMES[:n]:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def picture(codec="png", pix_fmt="rgb24") -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.height, context.width, context.pix_fmt, context.time_base = *FRAMES.shape[1:3], pix_fmt, Fraction(1)
    frame = av.VideoFrame.from_ndarray(FRAMES[0], format="rgb24").reformat(format=pix_fmt)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


def refuse_unsound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return buffer.getvalue()


def of_size(height: int, width: int, content: bytes) -> bytes:
    """A clip with a header that tells another size than its pictures."""
    at = content.rindex(b"avc1") + 4 + 24
    return content[:at] + width.to_bytes(2, "big") + height.to_bytes(2, "big") + content[at + 4 :]


def test_a_clip_that_browsers_play_is_kept_byte_for_byte():
    clip = ingest(CLIP, Shape(12, 64, 96, 8))
    assert clip.content == CLIP
    assert (clip.n_frames, clip.height, clip.width, clip.frames_per_second) == (12, 64, 96, 8)
    assert clip.frames_hash == frames_hash(decode(CLIP))


@pytest.mark.parametrize(
    "content",
    [
        written(),
        written(movflags="frag_keyframe+empty_moov"),
        written("mpeg4"),
        written("libx265", codec_options={"x265-params": "log-level=none"}),
        written(pix_fmt="yuv444p"),
        written(container="mov"),
    ],
    ids=["index at the end", "fragments", "mpeg4", "hevc", "yuv444p", "quicktime"],
)
def test_a_clip_that_browsers_do_not_play_or_seek_is_encoded_anew_and_equally(content):
    clip = ingest(content, Shape(12, 64, 96, 8))
    assert clip.content != content and ingest(content, ANY) == clip
    assert clip.content[4:8] == b"ftyp" and clip.content.index(b"moov") < clip.content.index(b"mdat")
    assert abs(decode(clip.content).astype(int) - decode(content)).mean() < 12


def test_every_file_that_ends_too_early_is_refused():
    for length in range(1, len(CLIP), 97):
        with pytest.raises(BadClip):
            ingest(CLIP[:length], ANY)
    with pytest.raises(BadClip, match="cut off: 4000 bytes of at least"):
        ingest(CLIP[:4000], ANY)


def test_a_file_with_fewer_frames_than_its_header_tells_is_refused():
    start = CLIP.index(b"mdat") - 4
    keep = len(CLIP) - 900
    shorter = CLIP[:start] + (keep - start).to_bytes(4, "big") + CLIP[start + 4 : keep]
    with pytest.raises(BadClip):
        ingest(shorter, ANY)


def test_a_damaged_picture_in_the_midst_is_refused_and_not_guessed():
    for seed in range(8):
        draw, content = random.Random(seed), bytearray(CLIP)
        for _ in range(20):
            content[draw.randrange(CLIP.index(b"mdat") + 800, len(CLIP))] = draw.randrange(256)
        with pytest.raises(BadClip):
            ingest(bytes(content), ANY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"<html><body>502 Bad Gateway</body></html>", "text, not a video: <html><body>502"),
        (b'{"error": "expired"}', "text, not a video: {"),
        (("x" * 399 + "é").encode(), "text, not a video: xxx"),
        (bytes(range(256)) * 9, "not an mp4 video"),
        (written("libvpx-vp9", container="webm"), "a webm or Matroska video, not an mp4"),
        (written("gif", "rgb8", "gif"), "a GIF, not an mp4"),
        (picture(), "a PNG picture, not an mp4"),
        (picture("mjpeg", "yuvj420p"), "a JPEG picture, not an mp4"),
        (refuse_unsound(), "no video in it, sound alone"),
        (CLIP[:32], "no video in it|InvalidData"),
        (written("mjpeg", "yuvj420p"), "mjpeg: this is no codec of video generators"),
    ],
    ids=["empty", "html", "json", "cut letter", "noise", "webm", "gif", "png", "jpeg", "sound", "no index", "mjpeg"],
)
def test_another_file_under_the_name_of_an_mp4_is_refused_with_what_it_is(content, says):
    with pytest.raises(BadClip, match=says):
        ingest(content, ANY)


def test_a_title_that_is_no_utf8_is_nothing_to_us():
    at = CLIP.rindex(b"Lavf")
    strange = CLIP[:at] + b"\xe9\xff" + CLIP[at + 2 :]
    clip = ingest(strange, ANY)
    assert clip.content == strange and clip.frames_hash == frames_hash(decode(CLIP))


def test_a_codec_that_nobody_knows_is_refused():
    strange = CLIP.replace(b"avc1", b"zzz9")
    for read in (decode, lambda content: ingest(content, ANY)):
        with pytest.raises(BadClip, match="a video of a codec that nobody knows"):
            read(strange)


def test_no_frames_are_refused():
    with pytest.raises(BadClip):
        ingest(written(n=0), ANY)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Shape(n_frames=13), "12 frames, asked for 13"),
        (Shape(height=96, width=64), "64 x 96 pixels, asked for 96 x 64"),
        (Shape(width=48), "64 x 96 pixels, asked for any x 48"),
        (Shape(frames_per_second=24), "8 frames a second, asked for 24"),
    ],
)
def test_another_shape_than_was_asked_for_is_refused_with_both(asked, says):
    with pytest.raises(BadClip, match=says):
        ingest(CLIP, asked)


def test_a_rate_of_television_is_the_whole_number_beside_it():
    assert ingest(written(rate=Fraction(24000, 1001)), Shape(frames_per_second=24)).n_frames == 12


def test_a_huge_frame_is_refused_from_the_header():
    for read in (decode, lambda content: ingest(content, ANY)):
        with pytest.raises(BadClip, match=f"2000 x 5000 pixels are more than the {MOST_PIXELS}"):
            read(bomb(1, 2000, 5000))


def test_a_huge_frame_behind_a_header_that_tells_a_small_one_is_refused():
    with pytest.raises(BadClip):
        decode(of_size(64, 96, bomb(1, 2000, 5000)))


def bomb(n: int, height=2304, width=4096) -> bytes:
    """Few bytes, many equal large frames."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt, stream.options = height, width, "yuv420p", {"preset": "ultrafast"}
        black = av.VideoFrame(width, height, "yuv420p")
        for plane in black.planes:
            plane.update(bytes(plane.buffer_size))
        packets = []
        for index in range(3):
            black.pts = index
            packets += stream.encode(black)
        packets += stream.encode()
        for index in range(n):  # the last one again and again
            packet = packets[min(index, 2)]
            again = av.Packet(bytes(packet))
            again.stream, again.time_base, again.pts, again.dts = stream, packet.time_base, index * 1024, index * 1024
            again.is_keyframe = packet.is_keyframe
            file.mux(again)
    return buffer.getvalue()


def test_many_large_frames_in_few_bytes_are_refused_before_they_are_decoded():
    content = bomb(200)
    assert len(content) < 1 << 20
    with pytest.raises(BadClip, match="200 frames of 2304 x 4096 are more than 2048 MiB"):
        decode(content)


@pytest.mark.parametrize("content", [picture(), picture("mjpeg", "yuvj420p")], ids=["png", "jpeg"])
def test_a_still_picture_is_a_clip_of_one_frame_where_one_is_asked_for(content):
    clip = ingest(content, Shape(1, 64, 96, 8))
    assert (clip.n_frames, clip.height, clip.width, clip.frames_per_second) == (1, 64, 96, 8)
    assert abs(decode(clip.content)[0].astype(int) - FRAMES[0]).mean() < 12
    assert ingest(content, Shape(n_frames=1)).frames_per_second == 1


def test_a_damaged_or_wrong_picture_is_refused():
    with pytest.raises(BadClip):
        ingest(picture()[:-60], Shape(n_frames=1))
    with pytest.raises(BadClip, match="64 x 96 pixels, asked for 96 x 64"):
        ingest(picture(), Shape(1, 96, 64))
