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


def norms(attention, size):
    """Head by head, of the first three: the norms of q's, k's and v's rows, of o's columns, and of q's and k's bias."""
    heads = [slice(head * size, (head + 1) * size) for head in range(2)]
    q, k, v, o = (getattr(attention, f"{name}_proj") for name in "qkvo")
    return [
        [
            round(part.norm().item(), 2)
            for part in (q.weight[h], k.weight[h], v.weight[h], o.weight[:, h], q.bias[h], k.bias[h])
        ]
        for h in heads
    ]


def test_the_copying_start_is_as_sure_and_as_loud_as_it_was_measured():
    model = build_tiny_llama(500, 128, 2, 4, 0, {"bos": 0, "eos": 1, "pad": 2})
    first, last = (layer.self_attn for layer in model.model.layers)
    assert norms(first, 64) == [[0, 0, 0.71, 5.66, 23.86, 23.86]] * 2
    assert norms(last, 64) == [[9.8, 6.93, 1.22, 8.0, 0, 0], [10.39, 8.49, 1.22, 16.0, 0, 0]]
    embedding = model.model.embed_tokens.weight
    assert embedding[:, :64].norm().item() == pytest.approx(22.36, abs=0.5)
    assert embedding[:, 64:].norm().item() == pytest.approx(1.07, abs=0.05)
    assert (model.config.head_dim, model.config.intermediate_size, model.config.max_position_embeddings) == (
        64,
        256,
        1024,
    )


@pytest.mark.parametrize(("layers", "heads"), [(1, 4), (2, 1)])
def test_a_model_too_small_to_copy_keeps_its_default_start(layers, heads):
    model = build_tiny_llama(50, 64, layers, heads, 0, {"bos": 0, "eos": 1, "pad": 2})
    assert model.model.layers[0].self_attn.k_proj.bias.abs().sum() == 0


def test_the_seed_draws_the_codes_and_leaves_the_generator_of_others_alone():
    import torch

    before = torch.random.get_rng_state()
    one, again, other = (build_tiny_llama(50, 64, 2, 2, seed, {"bos": 0, "eos": 1, "pad": 2}) for seed in (0, 0, 1))
    assert (torch.random.get_rng_state() == before).all()
    weights = [[value for value in model.state_dict().values()] for model in (one, again, other)]
    assert all(map(torch.equal, weights[0], weights[1])) and not torch.equal(weights[0][0], weights[2][0])
