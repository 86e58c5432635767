import pytest

from pipeline.backends.teacher.offline import SOURCES, Offline, answer, between, task_of
from pipeline.llm.replies import parse_prompt, parse_recheck, parse_verdict
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError
from schemas.params_teacher import OFFLINE_TEACHERS

FULL = (
    "The scene shows two red dogs running on the beach. Bright even light fills the whole scene. "
    "The camera stays static on a tripod. The colors are vivid and rich."
)


@pytest.fixture
def ask(laptop, root):
    """Ask the offline model in the words of the checked-in templates."""
    paths = {
        "fewshot": laptop.fewshot.template,
        "critique": laptop.critique.template,
        "recheck": laptop.queries.recheck_template,
    }

    def said(task, model="grammar", sample=0, world=laptop.world, **values):
        content = Template(root / paths[task]).fill(**{"exemplars": [], **values})
        return answer(model, [{"role": "user", "content": content}], sample, world)

    return said


def test_the_demanded_format_tells_the_task(laptop, root):
    for path, task in {
        laptop.fewshot.template: "fewshot",
        laptop.critique.template: "critique",
        laptop.refine.template: "refine",
        laptop.queries.recheck_template: "recheck",
    }.items():
        values = {"query": "a dog", "prompt": "A dog.", "exemplars": []}
        assert task_of([{"role": "user", "content": Template(root / path).fill(**values)}]) == task


def test_a_format_of_its_own_is_refused():
    with pytest.raises(DataError, match="finds none in: 'Write me a prompt'"):
        task_of([{"role": "user", "content": "Write me a prompt"}])


def test_the_last_tags_hold_the_query():
    messages = [{"role": "user", "content": "such as <query>a cat</query>: <query>\na dog\n</query>"}]
    assert between(messages, "query") == "a dog"
    with pytest.raises(DataError, match="no such tags"):
        between(messages, "video_prompt")


def test_the_same_messages_get_the_same_answer_and_samples_differ(ask):
    first = ask("fewshot", query="a red dog running on the beach")
    assert first == ask("fewshot", query="a red dog running on the beach")
    assert len({ask("fewshot", query="a red dog running on the beach", sample=i) for i in range(4)}) > 1


def test_grammar_writes_between_the_markers(ask, laptop):
    honest = laptop.world.model_copy(update={"teacher_flaws": 0.0})
    prompt = parse_prompt(ask("fewshot", query="two red dogs running on the beach -ar 16:9", world=honest))
    assert "two red dogs running on the beach." in prompt and "16:9" not in prompt


def test_grammar_refuses_some_unsafe_queries(ask, laptop):
    shy = laptop.world.model_copy(update={"teacher_refuses": 1.0})
    assert "[[start]]" not in ask("fewshot", query="a naked man", world=shy)
    assert "[[start]]" in ask("fewshot", query="a man", world=shy)


@pytest.mark.parametrize("model", ["grammar", "checker"])
def test_both_models_answer_in_the_critics_format(ask, model):
    query = "two red dogs running on the beach"
    assert parse_verdict(ask("critique", model, query=query, prompt=FULL)).aligned
    verdict = parse_verdict(ask("critique", model, query=query + " at night in heavy fog", prompt=FULL))
    assert verdict.violated == ("accurate",)


def test_the_recheck_tells_a_shooting_star_from_a_shooting(ask):
    assert parse_recheck(ask("recheck", query="a man shooting a gun"))
    assert not parse_recheck(ask("recheck", query="a shooting star over a gun metal roof"))


def test_the_checker_only_critiques(ask):
    with pytest.raises(DataError, match="only critiques; it was asked for: fewshot"):
        ask("fewshot", "checker", query="a dog")


def test_the_models_that_params_know_are_those_that_answer():
    assert set(OFFLINE_TEACHERS) == SOURCES.keys()


def test_an_outcome_says_who_made_it(laptop, root):
    content = Template(root / laptop.critique.template).fill(query="a dog", prompt=FULL)
    (outcome,) = Offline(laptop.judge, laptop.world).map(
        [[{"role": "user", "content": content}]], parse_verdict, template="t"
    )
    assert (outcome.by.backend, outcome.by.model, outcome.by.template) == ("offline", "checker", "t")
    assert len(outcome.by.revision) == 16


def test_the_revision_follows_the_knobs_that_the_model_reads(laptop):
    other = laptop.world.model_copy(update={"teacher_flaws": 0.1})
    corpus = laptop.world.model_copy(update={"queries": 7})
    grammar = [Offline(laptop.teacher, world).revision for world in (laptop.world, other, corpus)]
    checker = [Offline(laptop.judge, world).revision for world in (laptop.world, other, corpus)]
    assert grammar[0] != grammar[1] and grammar[0] == grammar[2]
    assert len(set(checker)) == 1
