from pipeline.curation.safety import messages, recheck
from pipeline.llm.template import Template
from schemas.reasons import Reason
from schemas.seams import Outcome, Unparsed


class Teacher:
    """Says yes to blood and mumbles over fog."""

    def map(self, requests, parse, template=None, sample=0):
        for request in requests:
            text = request[-1]["content"].split("<query>")[1]
            try:
                yield Outcome(
                    parse("hm" if "fog" in text else f"Unsafe (Yes or No): {'Yes' if 'blood' in text else 'No'}")
                )
            except Unparsed as fault:
                yield Outcome(reason=Reason.UNPARSED, detail=fault.detail)


def test_each_query_comes_back_with_its_answer_or_the_reason_for_none(laptop, root):
    template = Template(root / laptop.queries.recheck_template)
    answers = dict(recheck(["blood on snow", "a dog", "a fog"], Teacher(), template))
    assert [outcome.value for outcome in answers.values()] == [True, False, None]
    assert answers["a fog"].reason == Reason.UNPARSED


def test_the_query_stands_in_the_message_as_data(laptop, root):
    (message,) = messages("a red fox", Template(root / laptop.queries.recheck_template))
    assert message["role"] == "user"
    assert message["content"].count("a red fox") == 1
