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


def fitted(
    rows: Iterable[Prompt], renderer: Renderer, params: RendererParams, teacher: Teacher | None = None
) -> Iterator[tuple[Prompt, str] | Dropped]:
    """Yield each row with the text that the generator shall read, or why there is none; in order.

    `teacher` is asked where `params.long_prompts` is shorten, once a prompt; what is still too long then leaves.
    """
    if params.long_prompts == "truncate" or renderer.token_limit is None:
        yield from ((row, row.prompt) for row in rows)
        return
    if params.long_prompts == "refuse":
        for row in rows:
            yield too_long(row, row.prompt, renderer) or (row, row.prompt)
        return
    words = Template(params.shorten_template, needs=("query", "prompt", "words"))
    known = list(rows)
    long = [row for row in known if too_long(row, row.prompt, renderer)]
    asked = ask_teacher(
        long, lambda row: messages(row, words, renderer.token_limit), teacher, PROMPT, template=words.hash
    )
    shorter = {row.prompt_id: outcome for row, outcome in asked}
    for row in known:
        outcome = shorter.get(row.prompt_id)
        if outcome is None:
            yield row, row.prompt
        elif outcome.reason is not None:
            yield Dropped(input_id=row.prompt_id, reason=outcome.reason, detail=f"shorten: {outcome.detail}")
        else:
            yield too_long(row, outcome.value, renderer, "shortened, still ") or (row, outcome.value)


def too_long(row: Prompt, text: str, renderer: Renderer, before: str = "") -> Dropped | None:
    n_tokens = renderer.count_tokens(text)
    if n_tokens <= renderer.token_limit:
        return None
    detail = f"{before}{n_tokens} tokens, {renderer.by.model} reads {renderer.token_limit}"
    return Dropped(input_id=row.prompt_id, reason=Reason.OVER_TOKEN_LIMIT, detail=detail)


def messages(row: Prompt, words: Template, token_limit: int) -> Messages:
    # about 1.4 tokens an English word in T5 and CLIP; a tenth less, since a model counts words badly
    most = int(token_limit / 1.4 * 0.9)
    return [{"role": "user", "content": words.fill(query=row.query, prompt=row.prompt, words=str(most))}]
