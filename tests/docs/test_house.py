"""The tree is read as it is."""

import pytest

from docs.house import arrows, fill_block, first_line, imported_files, read_blocks, room_of


@pytest.fixture
def house(tmp_path):
    files = {
        "schemas/rows.py": '"""Shapes\nof rows.\n\nAnd more."""\n',
        "pipeline/refine.py": "def main():\n    from pipeline.llm.template import fill\n    import schemas.rows\n",
        "pipeline/llm/template.py": "from schemas import rows\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_room_is_named_by_its_folder():
    assert room_of("vpo/planning/rows.py") == "vpo"
    assert room_of("pipeline/llm/calls/engine.py") == "llm"
    assert room_of("pipeline/refine.py") == "stages"


def test_imports_inside_functions_count(house):
    assert imported_files("pipeline/refine.py", house) == {"pipeline/llm/template.py", "schemas/rows.py"}


def test_arrows_lead_to_other_rooms(house):
    assert arrows(house) == {"schemas": set(), "stages": {"llm", "schemas"}, "llm": {"schemas"}}


def test_the_first_paragraph_is_one_line(house):
    assert first_line(house / "schemas/rows.py") == "Shapes of rows."


def test_a_block_is_filled_between_its_marks():
    text = "a\n<!-- map: make map -->\nold\n<!-- /map -->\nb\n"
    assert fill_block(text, "map", "new") == text.replace("old", "new")
    assert read_blocks(text) == {"map": "old"}


def test_a_block_that_is_missing_is_named():
    with pytest.raises(ValueError, match="block map stand 0 times"):
        fill_block("a\n", "map", "new")
