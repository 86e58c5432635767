"""p beyond the generator's token limit: cut by the generator, refused, or shortened by the teacher (ours: a choice).

The papers' generators cut in silence, so that a reward is given for words that no clip was made of.
"""

from collections.abc import Iterable, Iterator

from pipeline.llm.answer_forms import PROMPT
from pipeline.llm.rounds import ask_teacher
from pipeline.llm.template import Template
from schemas.base import Dropped, Prompt
from schemas.params_render import RendererParams
from schemas.reasons import Reason
from schemas.seams import Messages, Renderer, Teacher


def fit_prompts(
    rows: Iterable[Prompt], renderer: Renderer, params: RendererParams, teacher: Teacher | None = None
) -> Iterator[tuple[Prompt, str] | Dropped]:
    """Yield each row with the text that the generator shall read, or why there is none; in order.

    `teacher` is asked where `params.long_prompts` is shorten, once a prompt; what is still too long then leaves.
    """
    limit = renderer.token_limit
    if params.long_prompts == "truncate" or limit is None:
        yield from ((row, row.prompt) for row in rows)
        return
    if params.long_prompts == "refuse":
        for row in rows:
            yield drop_long(row, row.prompt, renderer, limit) or (row, row.prompt)
        return
    if teacher is None:
        raise ValueError("render.long_prompts shorten needs a teacher")
    words = Template(params.shorten_template, needs=("query", "prompt", "words"))
    listed = list(rows)
    long = [row for row in listed if drop_long(row, row.prompt, renderer, limit)]
    answers = ask_teacher(long, lambda row: messages(row, words, limit), teacher, PROMPT, template=words.hash)
    shorter = {row.prompt_id: outcome for row, outcome in answers}
    for row in listed:
        outcome = shorter.get(row.prompt_id)
        if outcome is None:
            yield row, row.prompt
        elif outcome.value is None:
            reason = outcome.reason or Reason.FAILED
            yield Dropped(
                input_id=row.prompt_id,
                reason=reason,
                detail=f"shorten: {outcome.detail}",
                suite=row.suite,
                arm=row.arm,
            )
        else:
            still_long = drop_long(row, outcome.value, renderer, limit, "shortened, still ")
            yield still_long or (row, outcome.value)


def drop_long(row: Prompt, text: str, renderer: Renderer, limit: int, before: str = "") -> Dropped | None:
    """Return why a text cannot be rendered whole, None where its tokens are within the limit."""
    n_tokens = renderer.count_tokens(text)
    if n_tokens <= limit:
        return None
    detail = f"{before}{n_tokens} tokens, {renderer.by.model} reads {limit}"
    return Dropped(input_id=row.prompt_id, reason=Reason.OVER_TOKEN_LIMIT, detail=detail, suite=row.suite, arm=row.arm)


def messages(row: Prompt, words: Template, token_limit: int) -> Messages:
    # about 1.4 tokens an English word in T5 and CLIP; a tenth less, since a model counts words badly
    most = int(token_limit / 1.4 * 0.9)
    return [{"role": "user", "content": words.fill(query=row.query, prompt=row.prompt, words=str(most))}]
