"""A Llama of half a million weights whose first weights can copy.

A model from scratch would spend most of a laptop's minutes on learning to repeat the query's words. The last layer's
first heads start as an induction head (Olsson et al. 2022, "In-context Learning and Induction Heads"): layer 0 writes
the codes of the one and two tokens before, the last layer looks for where its own token stood and reads what followed.
Every weight is trainable. Ours: measured at 300 SFT steps, coverage .85 against .2 from the default start.
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

THETA = 5e5  # of Llama 3; its slow dimensions carry content, its fast ones position


def build_tiny_llama(
    vocab_size: int, hidden_size: int, layers: int, heads: int, seed: int, special: dict[str, int]
) -> "LlamaForCausalLM":
    """Return an untrained LlamaForCausalLM (float32) with the copying start; `special` holds bos, eos and pad ids."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=max(64, hidden_size // 2),  # a head of the last layer carries a token's code, half of the embedding
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        bos_token_id=special["bos"],
        eos_token_id=special["eos"],
        pad_token_id=special["pad"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).float()
    if layers > 1 and heads > 1:
        start_copying(model, seed)
    return model


def start_copying(
    model: "LlamaForCausalLM", seed: int, alpha: float = 2.0, sharp: float = 8.0, previous: float = 6.0
) -> None:
    """Write the copying heads into layer 0 and the last layer.

    Half of the embedding is a random code of the token; the other half is where layer 0 notes the codes of the tokens
    one and two places before. `previous` and `sharp` are how sure the two attentions are, `alpha` how loud the copy is.
    """
    import torch

    config = model.config
    d, hd = config.hidden_size, config.head_dim
    half, code, part = hd // 2, d // 2, d // 4
    rms = math.sqrt(d)
    w = THETA ** (-torch.arange(half).float() / half)
    draws = torch.Generator().manual_seed(seed)
    read = torch.linalg.qr(torch.randn(code, part, generator=draws))[0].T * math.sqrt(code / part)
    first, last = model.model.layers[0].self_attn, model.model.layers[-1].self_attn
    with torch.no_grad():
        embed = model.model.embed_tokens.weight
        embed.mul_(0.3)
        embed[:, :code] = torch.randn(config.vocab_size, code, generator=draws) / math.sqrt(code)
        fast = [i for i in range(half) if w[i] > 0.02]
        loud = math.sqrt(previous * math.sqrt(hd) / sum(1 - math.cos(w[i]) for i in fast))
        for head, back in ((0, 1), (1, 2)):
            rows = slice(head * hd, (head + 1) * hd)
            q, k = torch.zeros(hd), torch.zeros(hd)
            for i in fast:  # turned by RoPE, q and k agree best `back` places apart, whatever the tokens are
                k[i], q[i], q[i + half] = loud, loud * math.cos(back * w[i]), -loud * math.sin(back * w[i])
            for projection, bias in ((first.q_proj, q), (first.k_proj, k), (first.v_proj, torch.zeros(hd))):
                projection.weight[rows], projection.bias[rows] = 0, bias
            first.v_proj.weight[head * hd : head * hd + part, :code] = read / rms
            first.o_proj.weight[:, rows] = 0
            noted = slice(code + head * part, code + (head + 1) * part)
            first.o_proj.weight[noted, head * hd : head * hd + part] = torch.eye(part)
        slow = [i for i in range(half) if w[i] < 0.012]
        slots = slow + [i + half for i in slow]
        for head in (0, 1):
            start = head * hd
            for projection in (last.q_proj, last.k_proj, last.v_proj):
                projection.weight[start : start + hd], projection.bias[start : start + hd] = 0, 0
            if head == 0:  # my token is the one before that place
                plan = [(i, code + i, read[i]) for i in range(min(part, len(slots)))]
            else:  # and the token before mine is the one before that
                n = min(part, len(slots) // 2)
                plan = [(i, code + i, read[i]) for i in range(n)]
                plan += [(code + i, code + part + i, None) for i in range(n)]
            per = d / 3
            b = math.sqrt(sharp * math.sqrt(hd) / per * part / len(plan) * (1 if head == 0 else 1.5))
            for slot, (query_code, key_code, read_code) in zip(slots, plan, strict=False):
                if read_code is None:
                    last.q_proj.weight[start + slot, query_code] = b
                else:
                    last.q_proj.weight[start + slot, :code] = b * read_code
                last.k_proj.weight[start + slot, key_code] = b
            last.v_proj.weight[start : start + code, :code] = torch.eye(code) * math.sqrt(3) / rms
            last.o_proj.weight[:, start : start + hd] = 0
            last.o_proj.weight[:code, start : start + code] = torch.eye(code) * alpha * (0.5 if head == 0 else 1.0)
