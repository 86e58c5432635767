import pytest

from pipeline.text.clean import clean
from pipeline.world.checker import check
from pipeline.world.corpus import make_queries
from pipeline.world.critic import find_faults, notice_faults
from pipeline.world.grammar import write
from pipeline.world.phrases import is_stock, split_sentences
from pipeline.world.refiner import refine

QUERY = "two fluffy dogs running on the beach"
STOCK = " Neon lamps flicker on and off. The camera stays static on a tripod. The colors are vivid and rich."


def test_missing_words_return_and_the_stock_sentences_stay():
    prompt = f"A clear view of two dogs on the beach.{STOCK}"
    assert refine(QUERY, prompt, ("accurate",)) == f"A clear view of {QUERY}.{STOCK}"


def test_an_unsafe_word_is_replaced_in_its_place():
    prompt = f"A clear view of two naked dogs running on the beach.{STOCK}"
    refined = refine("two naked dogs running on the beach", prompt, ("harmless",))
    assert refined == prompt.replace("naked", "fully clothed")


def test_an_opening_goes_only_when_it_is_named():
    prompt = f"The video opens with two dogs on the beach.{STOCK}"
    assert refine(QUERY, prompt, ("accurate",)).startswith("The video opens with two fluffy")
    assert not refine(QUERY, prompt, ("helpful",)).startswith("The video opens")


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "dogs",
        f"The scene shows {QUERY}.",
        f"The scene shows {QUERY} {QUERY} {QUERY}.{STOCK}",
        f"The scene shows {QUERY}.{STOCK}{STOCK}{STOCK}{STOCK}",
        f"The scene shows {QUERY} huge huge huge huge.{STOCK}",
        f"The scene shows {QUERY}. Suddenly the view jumps to a sea. Next we are inside a train.{STOCK}",
    ],
)
def test_a_clumsy_prompt_becomes_a_good_one(prompt):
    refined = refine(QUERY, prompt, ("helpful",))
    assert find_faults(QUERY, refined).violated == () == check(QUERY, refined).violated


@pytest.mark.slow
@pytest.mark.parametrize("sample", [0, 1])
def test_refined_prompts_pass_critic_and_checker(laptop, sample):
    texts = dict.fromkeys(clean(row["query"]) for row in make_queries(700, seed=11))
    named = [
        (query, prompt, violated)
        for query in texts
        if len(query.split()) > 2
        and (prompt := write(query, sample, laptop.world))
        and (violated := notice_faults(query, prompt, laptop.world).violated)
    ]
    refined = [(query, refine(query, prompt, violated)) for query, prompt, violated in named]
    passed = [not find_faults(*pair).violated and not check(*pair).violated for pair in refined]
    assert len(passed) > 100 and sum(passed) / len(passed) > 0.98


def test_a_camera_move_of_the_query_is_not_told_twice():
    query = "a dog. The camera pans slowly to the left"
    refined = refine(query, f"The scene shows a cat. The camera pans slowly to the left.{STOCK}", ("accurate",))
    assert len(set(split_sentences(refined))) == len(split_sentences(refined))
    assert sum(map(is_stock, split_sentences(refined))) == 4
    assert find_faults(query, refined).missing == ()
