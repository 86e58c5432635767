from tests.support.rows import refine_row


def test_a_refinement_whose_text_was_edited_is_refused():
    row = refine_row()
    assert row.find_fault() == ""
    assert row.model_copy(update={"p_refined": "Another."}).find_fault().startswith("p_refined_id: not that of")
    assert row.model_copy(update={"p_refined": " "}).find_fault() == "p_refined: empty"
