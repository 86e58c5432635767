from pipeline.runtime.set_aside import MARKER, read_set_aside, write_set_aside


def test_a_folder_says_why_there_is_no_model_and_nothing_of_an_older_one_stays(tmp_path):
    folder = tmp_path / "dpo_no_text"
    assert read_set_aside(folder) is None
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"old")
    assert read_set_aside(folder) is None
    write_set_aside(folder, "no pairs")
    assert read_set_aside(folder) == "no pairs"
    assert [path.name for path in folder.iterdir()] == [MARKER]
