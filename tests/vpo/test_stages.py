from click.testing import CliRunner

from tests.support.graphs import REFINE, graph_of
from tests.support.small_project import ROOT
from vpo.graph import Graph, read_graph
from vpo.stages import list_stages, main, markdown, table


def test_an_entry_is_a_row_with_its_code_and_row_class():
    rows = {row["stage"]: row for row in table(read_graph(ROOT))}
    assert rows["critique_eval"]["row"] == "Critique" and rows["critique_eval"]["code"] == "pipeline/critique.py"
    assert (rows["dpo"]["code"], rows["dpo"]["row"]) == ("train/dpo.py", "-")
    assert rows["critique"]["writes"] == "data/<key>/critique.jsonl"


def test_a_command_that_is_not_ours_has_no_code_and_no_row():
    (row,) = table(graph_of(make={"cmd": "touch out", "outs": ["out"]}))
    assert (row["code"], row["row"], row["writes"]) == ("", "-", "out")


def test_a_recipe_with_a_graph_of_its_own_has_a_table_of_its_own():
    one = graph_of(refine=REFINE)
    text = markdown({"": one, "tiny": Graph("tiny", "recipes/tiny/dvc.yaml", "", one.entries)})
    first, second = text.split("\n\nRecipe `tiny` (`recipes/tiny/dvc.yaml`):\n\n")
    assert first == second and first.count("`refine`") == 1


def test_the_stages_are_listed_for_a_person(monkeypatch):
    monkeypatch.chdir(ROOT / "pipeline")
    done = CliRunner().invoke(main)
    assert done.exit_code == 0 and "x, p -> c by the judge" in done.output


def test_a_line_names_a_stage_what_it_does_and_writes_and_a_recipes_graph_has_a_heading(tmp_path):
    for file in ("dvc.yaml", "recipes/tiny/dvc.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("stages:\n  make:\n    desc: x -> y\n    cmd: touch out\n    outs: [out]\n")
    line = f"{'make':<14} {'x -> y':<46} "
    first, heading, second = list_stages(tmp_path)
    assert first == f"{line}out" and heading.endswith("tiny:") and second.startswith(line)
