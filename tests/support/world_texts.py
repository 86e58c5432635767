"""Some queries of the offline world and prompts for them, good and bad, for tests that pin what its programs make.

A pinned hash says that something moved, and with it each published figure of the world; `bench.same_rows` says what.
"""

from collections.abc import Iterator

from pipeline.text.clean import clean
from pipeline.world.corpus import make_queries
from schemas.params import WorldParams

QUERIES = [clean(row["query"]) for row in make_queries(90, seed=5)]
ENDINGS = (
    "", " The camera stays static on a tripod. The colors are vivid and rich.", " Then the scene changes to a town.",
    " Neon lamps flicker on and off." * 2, " big big big big", " with blood",
)  # fmt: skip


def fixed(world: WorldParams) -> WorldParams:
    """Return the world with knobs of its own, whatever params.yaml says."""
    knobs = dict(
        teacher_flaws=0.6, teacher_simplifies=0.5, teacher_keeps_unsafe=0.4, teacher_refuses=0.1, critic_recall_own=0.7,
        critic_recall_own_unsafe=0.6, critic_recall=0.8, critic_recall_unsafe=0.9, critic_false_alarms=0.2,
    )  # fmt: skip
    return world.model_copy(update=knobs)


def prompts() -> Iterator[tuple[str, str]]:
    """Yield (query, prompt): shortened, stretched, of another query, and with each of ENDINGS."""
    for number, query in enumerate(QUERIES):
        words, ending = query.split(), ENDINGS[number % len(ENDINGS)]
        yield query, f"The scene shows {query}.{ending} Bright even light fills the whole scene."
        yield query, f"The video opens with {' '.join(words[: len(words) // 2])}.{ending}"
        yield query, f"A clear view of {QUERIES[number - 1]}, {query}." + ENDINGS[1] * (number % 7)
