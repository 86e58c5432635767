"""The row of stage `render`: the manifest of the clips."""

from typing import ClassVar

from pydantic import Field

from schemas.base import Prompt, Provenance


class Render(Prompt):
    """p -> video. Where the clip lies and how it was made; the clip itself is in a tar shard."""

    unit: ClassVar[tuple[str, ...]] = ("query_id", "arm", "sample", "replicate")
    key: ClassVar[tuple[str, ...]] = unit

    video_id: str = Field(description="Hash of (prompt text, renderer, revision, settings, seed), known beforehand.")
    settings: str = Field(description="All settings of the renderer as JSON with sorted keys.")
    seed: int = Field(description="From (base.seed, query_id, replicate): siblings share their noise.")
    replicate: int = Field(default=0, ge=0, description="Index of the render with the same prompt and another seed.")
    frames_hash: str = Field(description="SHA-256 (32 hex) of the decoded frames, uint8 RGB.")
    clip_hash: str = Field(description="SHA-256 (32 hex) of the mp4 file.")
    shard: str = Field(description="Name of the tar file that holds the clip, beside the manifest.")
    offset: int = Field(ge=0, description="Byte at which the clip starts in the shard.")
    size: int = Field(gt=0, description="Bytes of the clip.")
    n_frames: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    frames_per_second: float = Field(gt=0)
    n_tokens: int | None = Field(default=None, description="Tokens of the prompt in the generator's own tokenizer.")
    truncated: bool = Field(description="Whether the generator cut the prompt.")
    rendered_text: str | None = Field(default=None, description="What the generator read, where it is not the prompt.")
    rendered_by: Provenance
