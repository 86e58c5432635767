import numpy as np
import pytest

from pipeline.backends.policy.batch import LIKELY, Batch, Text, draw
from tests.support import tiny_policy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A Llama as real ones are: fewer heads for keys than for queries, weights at random."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=500, hidden_size=128, intermediate_size=320, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def texts(n=20, longest=150):
    draws = np.random.default_rng(0)
    return [
        Text(str(number), draws.integers(3, 500, 1 + number * longest // n).tolist(), draws.random(40))
        for number in range(n)
    ]


def written(model, size, temperature, asked, stop=frozenset(range(3, 20))):
    """Return the tokens of each text by its key, with rows that are given up and taken again on the way."""
    batch, waiting, found = Batch(model, stop, size, temperature, 0.9, 40), list(asked), {}
    while len(found) < len(asked):
        taken, waiting = waiting[: batch.free], waiting[batch.free :]
        if not waiting:
            batch.narrow(len(taken))
        batch.admit(taken)
        found |= {text.key: text.written for text in batch.step()}
    return found


def test_no_neighbour_moves_a_bit(llama):
    import torch

    def logits(beside, steps=5):
        model = tiny_policy.Counted(llama)
        batch = Batch(model, set(), 64, 0.0, 0.9, 40)
        batch.narrow(len(beside) + 1)
        batch.admit([texts()[8], *beside])
        return torch.stack([model.last.logits[0, -1] for _ in range(steps) if batch.step() == []])

    alone = logits([])
    assert torch.equal(logits(texts()[:6]), alone)
    assert torch.equal(logits(texts(40)), alone)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_texts_of_all_lengths_are_the_same_in_any_batch(llama, temperature):
    """Prompts of 1 to 143 tokens, texts of 1 to 40."""
    one = written(llama, 1, temperature, texts())
    assert one == written(llama, 7, temperature, texts()) == written(llama, 64, temperature, texts()[::-1])
    lengths = {len(tokens) for tokens in one.values()}
    assert len(lengths) > 3


def test_what_is_written_is_what_the_model_finds_likeliest_without_a_cache(llama):
    import torch

    found = written(llama, 4, 0.0, texts(6), stop=frozenset())
    for text in texts(6):
        ids = torch.tensor([text.prompt])
        with torch.inference_mode():
            for _ in range(5):
                ids = torch.cat([ids, llama(ids).logits[:, -1:].argmax(-1)], 1)
        assert found[text.key][:5] == ids[0, len(text.prompt) :].tolist()


def test_a_row_that_ends_is_taken_by_the_next(llama):
    """Else a single text that loops to the limit would hold the whole batch."""
    calls = tiny_policy.Counted(llama)
    found = written(calls, 4, 0.0, texts(40, 30))
    lengths = [len(tokens) for tokens in found.values()]
    longest_of_each_four = sum(max(lengths[at : at + 4]) for at in range(0, 40, 4))
    assert calls.calls < longest_of_each_four


def by_hand(chances, u, top_p):
    """Return the token u falls on in the nucleus: the fewest likeliest tokens whose chances reach top_p."""
    order = np.argsort(-chances, kind="stable")
    n = int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1
    nucleus = chances[order[:n]]
    return order[int(np.searchsorted(np.cumsum(nucleus) / nucleus.sum(), u, side="right"))]


@pytest.mark.parametrize("size", [7, LIKELY + 400])
@pytest.mark.parametrize("temperature, top_p", [(0.9, 0.9), (1.0, 0.5), (2.0, 0.999), (0.3, 0.01)])
def test_a_draw_is_the_inverse_of_the_nucleus_computed_by_hand(size, temperature, top_p):
    import torch

    draws = np.random.default_rng(0)
    logits, u = torch.from_numpy(draws.normal(0, 2, (200, size)).astype("float32")), draws.random(200)
    chances = torch.softmax(logits / temperature, -1).double().numpy()
    wanted = [by_hand(row, at, top_p) for row, at in zip(chances, u, strict=True)]
    assert draw(logits, torch.from_numpy(u), temperature, top_p).tolist() == wanted


def test_a_wide_nucleus_beside_it_does_not_change_a_draw():
    import torch

    flat, steep = torch.zeros(LIKELY + 100), torch.full((LIKELY + 100,), -8.0)
    steep[40:60] = 8.0  # equal chances, which the two ways of sorting order differently
    u = torch.linspace(0, 0.99, 50).double()
    alone = draw(steep.expand(50, -1), u, 1.0, 0.9)
    beside = draw(torch.cat([steep.expand(50, -1), flat[None]]), torch.cat([u, u[:1]]), 1.0, 0.9)
    assert beside[:-1].tolist() == alone.tolist()


def test_temperature_0_takes_the_likeliest():
    import torch

    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    assert draw(logits, torch.tensor([0.99, 0.99]), 0.0, 0.9).tolist() == [1, 0]


def test_top_p_1_keeps_every_token():
    import torch

    logits, u = torch.tensor([[0.3, 0.2, 0.1, 0.0]]), torch.tensor([0.999], dtype=torch.float64)
    assert draw(logits, u, 1.0, 1.0).item() == 3
