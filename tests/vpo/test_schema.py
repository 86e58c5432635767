import json

import pytest
from click.testing import CliRunner

from schemas.stage import row_classes
from vpo.schema import main


@pytest.mark.parametrize("stage", [*row_classes(), "params", "dropped"])
def test_every_row_has_a_json_schema_that_refuses_strangers(stage):
    schema = json.loads(CliRunner().invoke(main, [stage]).output)
    assert schema["additionalProperties"] is False
    assert schema["properties"]


def test_an_unknown_name_lists_the_names():
    done = CliRunner().invoke(main, ["d_dop"])
    assert done.exit_code == 1 and "d_dpo" in done.output
