import hashlib
import tarfile

import numpy as np
import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.video.clips import (
    BadClip,
    ClipStore,
    Packed,
    decode,
    encode,
    frames_hash,
    make_clip,
    rate,
    read_clip,
    refuse_huge,
    shard_folder,
    write_shards,
)
from tests.support.pictures import moving
from tests.support.rows import render_row


@pytest.fixture
def clips(tmp_path):
    return ClipStore(Store(tmp_path / "store"))


def stored(clips, n=5):
    """Put n clips into the store; return them out of order."""
    names = [f"{'cafe'[at % 4]}{at:03d}" for at in range(n)]
    for at, name in enumerate(names):
        clips.put(name, make_clip(moving(at), 8))
    return [Packed(name, clips.path(name)) for name in names]


def placed(name, place, content=b""):
    clip_hash = hashlib.sha256(content).hexdigest()[:32]
    return render_row(name).model_copy(update={**place._asdict(), "clip_hash": clip_hash})


def test_equal_frames_give_equal_bytes():
    grain = np.random.default_rng(0).normal(0, 12, (12, 48, 48, 3))
    frames = np.clip(moving(n=12, height=48) + grain, 0, 255).astype(np.uint8)
    # libx264 at its defaults fails this: a third of its files differ
    assert len({encode(frames, 8) for _ in range(40)}) == 1


def test_what_is_decoded_looks_like_what_was_encoded():
    frames = np.full((6, 32, 48, 3), (200, 60, 30), np.uint8)
    decoded = decode(encode(frames, 8))
    assert decoded.shape == frames.shape and decoded.dtype == np.uint8
    assert abs(decoded.astype(int) - frames).max() <= 4


def test_a_clip_that_is_read_again_is_not_decoded_again():
    content = encode(moving(), 8)
    assert decode(content) is decode(content) and not decode(content).flags.writeable


def test_a_clip_of_one_frame_is_a_clip():
    clip = make_clip(moving(n=1), 8)
    assert decode(clip.content).shape == (1, 32, 48, 3) and clip.n_frames == 1


def test_the_index_stands_before_the_frames_so_that_a_browser_can_start():
    content = encode(moving(), 8)
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")


def test_the_hash_is_of_what_a_reader_decodes():
    clip = make_clip(moving(), 8)
    assert clip.frames_hash == frames_hash(decode(clip.content)) and len(clip.frames_hash) == 32
    assert clip.frames_hash != make_clip(moving(1), 8).frames_hash


def test_the_hash_tells_shapes_apart():
    pixels = np.zeros((2, 4, 6, 3), np.uint8)
    assert frames_hash(pixels) != frames_hash(pixels.reshape(2, 6, 4, 3))


def test_an_odd_size_is_refused_with_the_params_to_change():
    with pytest.raises(DataError, match=r"31 x 48 pixels: render\.height"):
        encode(np.zeros((2, 31, 48, 3), np.uint8), 8)


@pytest.mark.parametrize("content", [b"", b"not a video", encode(moving(), 8)[:900]], ids=["empty", "text", "cut off"])
def test_bytes_that_are_no_video_are_a_bad_clip(content):
    with pytest.raises(BadClip):
        decode(content)


def test_a_stored_clip_comes_back_with_its_facts(clips):
    clip = make_clip(moving(), 8, n_tokens=7)
    facts = clips.put("v0", clip)
    assert clips.get("v0") == facts
    assert (facts["frames_hash"], facts["n_tokens"], facts["truncated"]) == (clip.frames_hash, 7, False)
    assert clips.path("v0").read_bytes() == clip.content


def test_a_clip_is_put_whole_in_the_place_of_another_and_its_owner_alone_reads_it(clips):
    one, other = make_clip(moving(), 8), make_clip(moving(1), 8)
    clips.put("v0", one)
    with clips.path("v0").open("rb") as reader:
        clips.put("v0", other)
        assert reader.read() == one.content  # whoever reads goes on with what was there
    assert clips.path("v0").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in clips.path("v0").parent.iterdir()] == ["v0.mp4"]


def test_a_rate_is_that_of_the_frames():
    assert rate(encode(moving(), 8)) == 8 and rate(encode(moving(), 29.97)) == pytest.approx(29.97, abs=0.001)


def test_the_largest_frame_and_the_longest_clip_may_just_be_decoded():
    refuse_huge(4096, 2304, 75)
    with pytest.raises(BadClip, match="more than the 9437184 that a frame may have"):
        refuse_huge(4096, 2305, 1)
    with pytest.raises(BadClip, match="76 frames of 2304 x 4096 are more than 2048 MiB"):
        refuse_huge(4096, 2304, 76)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_a_damaged_clip_counts_as_absent_and_can_be_put_again(clips, damage):
    clips.put("v0", make_clip(moving(), 8))
    damage(clips.path("v0"))
    assert clips.get("v0") is None
    other = make_clip(moving(1), 8)
    clips.put("v0", other)
    assert clips.get("v0")["frames_hash"] == other.frames_hash


def test_every_clip_comes_back_from_its_shard(clips, tmp_path):
    files = stored(clips)
    places = write_shards(tmp_path / "render", files, clips_per_shard=2)
    assert {place.shard for place in places.values()} == {"00000.tar", "00001.tar", "00002.tar"}
    for name, path, _ in files:
        content = path.read_bytes()
        assert read_clip(tmp_path / "render", placed(name, places[name], content)) == content


def test_shards_are_tars_named_by_clip_in_order_of_video_id(clips, tmp_path):
    files = stored(clips)
    write_shards(tmp_path / "render", files, clips_per_shard=10)
    with tarfile.open(tmp_path / "render" / "00000.tar") as tar:
        assert tar.getnames() == sorted(f"{name}.mp4" for name, *_ in files)
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


def test_shards_do_not_depend_on_the_order_of_the_rows(clips, tmp_path):
    files = stored(clips)
    write_shards(tmp_path / "one", files, 2)
    write_shards(tmp_path / "two", files[::-1] + files[:1], 2)
    for name in ("00000.tar", "00001.tar", "00002.tar"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_shards_of_an_earlier_run_are_gone(clips, tmp_path):
    files = stored(clips)
    write_shards(tmp_path / "render", files, clips_per_shard=1)
    write_shards(tmp_path / "render", files[:1], clips_per_shard=1)
    assert [path.name for path in sorted(tmp_path.glob("render/*"))] == ["00000.tar"]


def test_a_run_that_fails_leaves_the_shards_as_they_were(clips, tmp_path):
    files = stored(clips)
    write_shards(tmp_path / "render", files, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("render/*")}
    with pytest.raises(FileNotFoundError):
        write_shards(tmp_path / "render", [*files, Packed("f999", tmp_path / "gone.mp4")], 2)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("render/*")} == before
    assert not list(tmp_path.glob(".render*"))


def test_no_clips_are_an_empty_folder(tmp_path):
    assert write_shards(tmp_path / "render", [], 2) == {}
    assert list((tmp_path / "render").iterdir()) == []


def test_the_shards_lie_in_a_folder_named_as_the_manifest():
    assert str(shard_folder("data/dpo/render.parquet")) == "data/dpo/render"


def test_a_shard_of_another_manifest_is_refused(clips, tmp_path):
    files = stored(clips)
    places = write_shards(tmp_path / "render", files, 10)
    row = placed("f000", places[files[0][0]])
    with pytest.raises(DataError, match="not the start of f000.mp4.*dvc checkout"):
        read_clip(tmp_path / "render", row)


def test_another_clip_of_the_same_name_and_length_is_named(clips, tmp_path):
    files = stored(clips, 1)
    row = placed(files[0][0], write_shards(tmp_path / "render", files, 10)[files[0][0]], b"what was rendered")
    with pytest.raises(DataError, match=rf"another clip lies in the place of {row.video_id}.mp4.*dvc checkout"):
        read_clip(tmp_path / "render", row)


def test_a_missing_or_short_shard_is_named(clips, tmp_path):
    files = stored(clips, 1)
    row = placed(files[0][0], write_shards(tmp_path / "render", files, 10)[files[0][0]])
    shard = tmp_path / "render" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[: row.offset + 10])
    with pytest.raises(DataError, match="ends .* bytes before"):
        read_clip(tmp_path / "render", row)
    shard.unlink()
    with pytest.raises(DataError, match="00000.tar: no such shard"):
        read_clip(tmp_path / "render", row)
