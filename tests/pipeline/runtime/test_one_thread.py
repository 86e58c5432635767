from pipeline.runtime.one_thread import TINY, one_thread


def test_a_tiny_model_gets_one_thread_and_a_large_one_what_there_is(tmp_path):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with (tmp_path / "model.safetensors").open("wb") as file:
            file.truncate(TINY)
        one_thread(tmp_path)
        assert torch.get_num_threads() == 2
        with (tmp_path / "model.safetensors").open("wb") as file:
            file.truncate(TINY - 1)
        one_thread(tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
