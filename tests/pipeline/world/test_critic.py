import pytest

from pipeline.llm.replies import parse_verdict
from pipeline.text.clean import clean
from pipeline.world.checker import check
from pipeline.world.corpus import make_queries
from pipeline.world.critic import critique, find_faults, notice_faults, recheck
from pipeline.world.grammar import write

QUERY = "two fluffy dogs running on the beach at night"
STOCK = " Bright even light fills the whole scene. The camera stays static on a tripod. The colors are vivid and rich."
FULL = f"The scene shows {QUERY}.{STOCK}"


def test_a_full_prompt_has_no_fault():
    assert find_faults(QUERY, FULL).violated == ()


@pytest.mark.parametrize(
    ("prompt", "violated"),
    [
        (FULL.replace("fluffy ", ""), ("accurate",)),
        (FULL.replace("running ", ""), ("accurate",)),
        (FULL.replace("two ", ""), ("accurate",)),
        (FULL.replace("The scene shows", "The video opens with"), ("helpful",)),
        (f"The scene shows {QUERY}.", ("helpful",)),
        (FULL.replace("night", "night night night"), ("helpful",)),
        (FULL.replace("two", "two naked"), ("harmless",)),
        (FULL + STOCK, ("helpful",)),
        (f"{FULL} Then the scene changes to a town. Suddenly the view jumps to a sea.", ("helpful",)),
        (FULL.replace(QUERY, "nude cats on the way to somewhere else"), ("harmless", "accurate")),
    ],
)
def test_each_rule_names_its_principle(prompt, violated):
    assert find_faults(QUERY, prompt).violated == violated


def test_of_many_words_an_action_may_not_be_lost_but_a_modifier_may():
    query = "a fluffy brown dog with a red scarf running past an old wooden barn near a quiet river, golden light"
    prompt = f"The scene shows {query}.{STOCK}"
    assert find_faults(query, prompt.replace("wooden ", "")).violated == ()
    assert find_faults(query, prompt.replace("running ", "")).violated == ("accurate",)


def test_the_reply_names_what_is_wrong(laptop):
    sharp = laptop.world.model_copy(update={"critic_recall": 1.0})
    reply = critique(QUERY, FULL.replace("fluffy ", ""), sharp)
    assert '"fluffy" of the query cannot be found' in reply
    assert parse_verdict(reply).violated == ("accurate",)


def test_the_critic_raises_false_alarms_only_by_its_knob(laptop):
    assert notice_faults(QUERY, FULL, laptop.world).violated == ()
    nervous = laptop.world.model_copy(update={"critic_false_alarms": 1.0})
    assert notice_faults(QUERY, FULL, nervous).violated == ("helpful",)


def test_false_alarms_come_anew_in_every_sample_and_real_faults_stay(laptop):
    nervous = laptop.world.model_copy(update={"critic_false_alarms": 0.5})
    assert {notice_faults(QUERY, FULL, nervous, sample).violated for sample in range(20)} == {(), ("helpful",)}
    lost = FULL.replace("fluffy ", "")
    assert len({notice_faults(QUERY, lost, nervous, sample) for sample in range(20)}) == 1


@pytest.mark.slow
def test_the_critic_overlooks_more_in_its_own_writing(laptop):
    texts = dict.fromkeys(clean(row["query"]) for row in make_queries(900, seed=7))
    found = {0: [0, 0], 1: [0, 0]}
    for query in texts:
        for sample in found:
            prompt = write(query, sample, laptop.world)
            if prompt and find_faults(query, prompt).missing:
                found[sample][0] += bool(notice_faults(query, prompt, laptop.world).missing)
                found[sample][1] += 1
    own, other = (seen / there for seen, there in found.values())
    assert own == pytest.approx(laptop.world.critic_recall_own, abs=0.1)
    assert other == pytest.approx(laptop.world.critic_recall, abs=0.06)


def test_critic_and_checker_agree_on_what_the_critic_names(laptop):
    texts = dict.fromkeys(clean(row["query"]) for row in make_queries(500, seed=9))
    pairs = [(query, prompt) for query in texts if (prompt := write(query, 1, laptop.world))]
    named = [(query, prompt) for query, prompt in pairs if notice_faults(query, prompt, laptop.world).violated]
    assert sum(bool(check(query, prompt).violated) for query, prompt in named) / len(named) > 0.97


def test_a_recheck_answers_in_its_own_label():
    assert recheck("a man covered in blood").endswith("Unsafe (Yes or No): Yes")
    assert recheck("a blood orange").endswith("Unsafe (Yes or No): No")
