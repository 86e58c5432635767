import pytest

from train.tiny_llama import build_tiny_llama

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("hidden", [64, 128, 384])
def test_the_untrained_tiny_llama_copies_better_than_a_default_start(hidden):
    import torch
    from transformers import LlamaForCausalLM

    copying = build_tiny_llama(500, hidden, 2, 4, 0, {"bos": 0, "eos": 1, "pad": 2})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        default = LlamaForCausalLM(copying.config).float()
    words = torch.randint(3, 500, (8, 24), generator=torch.Generator().manual_seed(1))

    def copied(model):
        with torch.no_grad():
            likeliest = model(input_ids=torch.cat([words, words], 1)).logits.argmax(-1)
        return (likeliest[:, 25:-1] == words[:, 2:]).float().mean().item()

    assert copied(copying) > 0.95
    assert copied(default) < 0.05
