"""Short ways to write rows by hand in tests."""

from schemas.base import Prompt, Provenance, content_id
from schemas.critique import Critique
from schemas.refine import Refine
from schemas.render import Render

BY = Provenance(backend="offline", model="grammar", revision="0" * 16)


def prompt_fields(query="a dog", prompt="A dog runs.", sample=0, arm="sft", safety=False, split="dpo") -> dict:
    query_id = content_id(query)
    return dict(
        query_id=query_id,
        query=query,
        split=split,
        safety=safety,
        prompt_id=content_id(query_id, prompt),
        prompt=prompt,
        arm=arm,
        sample=sample,
        written_by=BY,
    )


def prompts(n: int) -> list[Prompt]:
    """Return n prompts for one query."""
    return [Prompt(**prompt_fields(prompt=f"p{i}", sample=i)) for i in range(n)]


def critique_row(violated=(), **fields) -> Critique:
    return Critique(
        **prompt_fields(**fields), aligned=not violated, violated=violated, critique="because", critique_by=BY
    )


def refine_row(p_refined="A better dog runs.", violated=("accurate",), **fields) -> Refine:
    shared = prompt_fields(**fields)
    return Refine(
        **shared,
        aligned=False,
        violated=violated,
        critique="because",
        critique_by=BY,
        p_refined=p_refined,
        p_refined_id=content_id(shared["query_id"], p_refined),
        refined_by=BY,
    )


def render_row(video_id="v0", **fields) -> Render:
    return Render(
        **prompt_fields(**fields),
        video_id=video_id,
        settings="{}",
        seed=1,
        frames_hash="f" * 32,
        clip_hash="c" * 32,
        shard="00000.tar",
        offset=512,
        size=100,
        n_frames=12,
        height=48,
        width=48,
        frames_per_second=8,
        truncated=False,
        rendered_by=BY,
    )
