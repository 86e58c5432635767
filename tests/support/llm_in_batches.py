"""What the tests of paid batches share: to ask, to look at what the server got, and to meddle with files and store."""

import json
import sqlite3

from tests.support.llm_batches import Batches
from tests.support.llm_echo import conversations, parse

DOLLAR_A_TOKEN = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 1e6}


def values(teacher, n):
    return [outcome.value for outcome in teacher.map(conversations(n), parse)]


def batches_of(server):
    """Return for each batch made what its lines ask."""
    files = (server.batches.files[batch["input_file_id"]] for batch in server.batches.batches.values())
    return [[json.loads(line)["body"]["messages"][-1]["content"] for line in file.splitlines()] for file in files]


def change(path, statement, *values):
    connection = sqlite3.connect(path / "store" / "answers.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


class Spoilt(Batches):
    """Files pass through `spoil(purpose, lines)`."""

    spoil = staticmethod(lambda purpose, lines: lines)

    def put(self, content, filename, purpose):
        content = b"".join(self.spoil(purpose, content.splitlines(keepends=True)))
        return super().put(content, filename, purpose)
