import pytest

from pipeline.runtime.one_thread import TINY, use_one_thread

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("n_bytes", "threads"), [(TINY - 1, 1), (TINY, 2)])
def test_a_tiny_model_has_one_thread(tmp_path, n_bytes, threads):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with (tmp_path / "model.safetensors").open("wb") as file:
            file.truncate(n_bytes)
        use_one_thread(tmp_path)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
