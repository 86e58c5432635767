"""Faults of the room video."""

from bench.named_faults.fault import Fault

FAULTS = [
    Fault("reward: the clip of the shard's first place for all", "pipeline/video/clips.py",
          "file.seek(row.offset - tarfile.BLOCKSIZE)", "file.seek(0)", "tests/pipeline/video/test_clips.py"),
    Fault("clip: its id forgets the settings", "pipeline/video/rendering.py",
          "renderer.settings, request.seed)\n", "request.seed)\n"),
    Fault("clip: its id forgets the weights", "pipeline/video/rendering.py",
          "by.model, by.revision, renderer.settings", "by.model, renderer.settings"),
    Fault("clip: its id forgets the seed", "pipeline/video/rendering.py",
          "renderer.settings, request.seed)\n", "renderer.settings)\n"),
    Fault("clip: a second seed is the first", "pipeline/video/rendering.py",
          'content_id("clip seed", seed, query_id, replicate)', 'content_id("clip seed", seed, query_id)'),
    Fault("clip: every query has the same noise", "pipeline/video/rendering.py",
          'content_id("clip seed", seed, query_id, replicate)', 'content_id("clip seed", seed, replicate)'),
]  # fmt: skip
