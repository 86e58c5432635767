"""The plainest talk with the test server: it says the query in capitals, and a parse that knows that answer."""

from schemas.seams import Unparsed


def echo(model, messages):
    return messages[-1]["content"].upper()


def conversations(n):
    return [[{"role": "user", "content": f"query {number}"}] for number in range(n)]


def parse(text):
    if "QUERY" not in text:
        raise Unparsed("no_query")
    return text


def expected(n):
    return [f"QUERY {number}" for number in range(n)]
