import pytest

from pipeline.runtime.stand_ins import say_if_unreadable
from tests.support.params import with_values


@pytest.mark.parametrize(("source", "lines"), [("synthetic", 0), ("file", 1)])
def test_one_line_says_that_stand_ins_cannot_read_queries_of_another_world(laptop, capsys, source, lines):
    queries = laptop.queries.model_copy(update={"source": source})
    say_if_unreadable(laptop.model_copy(update={"queries": queries}), laptop.teacher, laptop.base_model)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == lines and all("vpo recipe use vpo-cogvideox-2b" in line for line in shown)


def test_a_real_teacher_reads_any_query(laptop, capsys):
    queries = laptop.queries.model_copy(update={"source": "file"})
    real = with_values(laptop.teacher, backend="openai", model="m")
    say_if_unreadable(laptop.model_copy(update={"queries": queries}), real)
    assert capsys.readouterr().err == ""


def test_the_recipe_that_is_named_is_there(root):
    from pipeline.runtime.stand_ins import RECIPE

    assert (root / f"recipes/{RECIPE}.yaml").is_file()


@pytest.mark.parametrize("name", ["d_sft", "d_dpo"])
def test_a_ready_set_is_another_world_to_the_stages_that_read_it(laptop, capsys, name):
    ready = laptop.model_copy(update={name: getattr(laptop, name).model_copy(update={"path": "mine.jsonl"})})
    say_if_unreadable(ready, ready.base_model)
    assert capsys.readouterr().err == ""
    say_if_unreadable(ready, ready.base_model, ready=("d_sft", "d_dpo"))
    (line,) = capsys.readouterr().err.splitlines()
    assert f"({name}.path: mine.jsonl)" in line
