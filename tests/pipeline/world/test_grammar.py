import random

import pytest

from pipeline.text.clean import clean
from pipeline.world.checker import check
from pipeline.world.corpus import make_queries
from pipeline.world.critic import find_faults
from pipeline.world.grammar import simplify, write
from pipeline.world.reading import extract_wish, list_unsafe_words, words
from schemas.base import content_id
from tests.support import world_texts


@pytest.fixture(scope="module")
def queries():
    texts = dict.fromkeys(clean(row["query"]) for row in make_queries(700, seed=5))
    return [text for text in texts if 3 <= len(text.split()) <= 60]


@pytest.fixture(scope="module")
def honest(laptop):
    return laptop.world.model_copy(update={"teacher_flaws": 0.0, "teacher_keeps_unsafe": 0.0, "teacher_refuses": 0.0})


def passing(prompts):
    verdicts = [not check(query, prompt).violated for query, prompt in prompts]
    return sum(verdicts) / len(verdicts)


def test_a_full_prompt_passes_the_independent_checker(queries, honest):
    assert passing((query, write(query, 0, honest)) for query in queries) >= 0.98


def test_a_full_prompt_passes_for_what_real_users_type(shared_data, honest):
    import json

    texts = json.loads((shared_data / "vidprom_queries.json").read_text())
    texts = [text for raw in texts[::40] if 3 <= len((text := clean(raw)).split()) <= 60]
    assert len(texts) > 200
    assert passing((text, write(text, 0, honest)) for text in texts) >= 0.95


def test_a_simplified_prompt_fails_the_checker(queries, honest):
    world = honest.model_copy(update={"teacher_flaws": 1.0, "teacher_simplifies": 1.0})
    flawed = [(query, write(query, 0, world)) for query in queries]
    assert passing(flawed) <= 0.05


def test_an_unsafe_word_is_replaced_or_kept_by_its_share(queries, honest):
    unsafe = [query for query in queries if list_unsafe_words(extract_wish(query))]
    assert passing((query, write(query, 0, honest)) for query in unsafe) >= 0.98
    keeps = honest.model_copy(update={"teacher_keeps_unsafe": 0.4})
    kept = sum(bool(list_unsafe_words(write(query, sample, keeps))) for query in unsafe for sample in range(5))
    assert kept / (5 * len(unsafe)) == pytest.approx(0.4, abs=0.08)


def test_about_half_of_the_prompts_are_flawed_as_the_knob_says(queries, laptop):
    prompts = [(query, prompt) for query in queries if (prompt := write(query, 0, laptop.world))]
    flawed = sum(bool(find_faults(query, prompt).violated) for query, prompt in prompts) / len(prompts)
    assert laptop.world.teacher_flaws - 0.05 < flawed < laptop.world.teacher_flaws + 0.1


def test_prompts_are_one_paragraph_of_about_forty_words(queries, honest):
    prompts = [write(query, 0, honest) for query in queries]
    lengths = sorted(len(words(prompt)) for prompt in prompts)
    assert not any("\n" in prompt for prompt in prompts)
    assert lengths[0] >= 25 and lengths[len(lengths) // 2] in range(38, 50)


def test_simplifying_keeps_what_can_be_drawn_and_leaves_no_loose_article():
    for seed in range(40):
        text = simplify("a fluffy red dog with a scarf running on the big beach, at night", random.Random(seed))
        assert "dog" in text and "beach" in text
        assert len(text.split()) < 14
        assert (
            not text.endswith((" a", " the", " with", " on")) and " a with" not in text and " with running" not in text
        )


def test_what_a_text_is_about_stays_though_it_cannot_be_drawn():
    assert all("iguanas" in simplify("two iguanas walking together at noon", random.Random(i)) for i in range(30))


@pytest.mark.parametrize("query", ["a dog", "犬", "!!!", "dog", "the the the"])
def test_a_query_without_details_still_gets_a_prompt(query, laptop):
    world = laptop.world.model_copy(update={"teacher_flaws": 1.0, "teacher_simplifies": 1.0})
    assert len(words(write(query, 0, world))) >= 25


def test_what_the_teacher_writes_is_that_of_earlier_versions(laptop):
    world = world_texts.fixed(laptop.world)
    assert (
        content_id([write(query, sample, world) for query in world_texts.QUERIES for sample in range(2)])
        == "a0cf6d1194b49d79"
    )
