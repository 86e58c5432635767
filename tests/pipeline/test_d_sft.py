from pipeline.d_sft import d_sft
from tests.support.rows import critique_row, refine_row


def test_a_good_prompt_is_kept():
    (row,) = d_sft([critique_row()], {})
    assert (row.prompt, row.refined, row.written_by.model) == ("A dog runs.", False, "grammar")


def test_a_flawed_prompt_gives_way_to_its_refinement():
    better = refine_row()
    (row,) = d_sft([critique_row(violated=("accurate",))], {better.prompt_id: better})
    assert (row.prompt, row.prompt_id, row.refined) == ("A better dog runs.", better.p_refined_id, True)
    assert row.violated == ("accurate",)


def test_a_flawed_prompt_without_refinement_is_dropped():
    flawed = critique_row(violated=("harmless",))
    (dropped,) = d_sft([flawed], {})
    assert (dropped.input_id, dropped.reason) == (flawed.query_id, "not_refined")
