"""SFT and DPO by hand: plain torch, no Trainer, what TRL's losses are compared with."""

import math

from train.trl_rows import to_user_turn


def encoded(tokenizer, template, query: str, answer: str) -> tuple[list[int], list[int]]:
    """Return (tokens of the question, tokens of the answer with its end)."""
    prompt_ids = tokenizer.apply_chat_template(
        to_user_turn(query, template), add_generation_prompt=True, return_dict=False
    )
    return prompt_ids, [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def log_prob(model, prompt_ids: list[int], answer: list[int]):
    """Return the summed log-probability of the answer."""
    import torch

    ids = torch.tensor([prompt_ids + answer])
    chances = model(input_ids=ids).logits[0, len(prompt_ids) - 1 : -1].log_softmax(-1)
    return chances.gather(1, torch.tensor(answer)[:, None]).sum()


def losses(folder, rows, steps: int, learning_rate: float, wrap=lambda model: model, beta: float | None = None):
    """Return the loss of each step of AdamW over all rows at once; rows: (prompt, answer), or with beta (prompt,
    chosen, rejected). Betas (0.9, 0.999), no weight decay, no warm-up, gradients clipped to norm 1."""
    import torch
    from transformers import AutoModelForCausalLM

    model = wrap(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)).eval()  # DPO has no dropout
    frozen = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.999), weight_decay=0.0)
    losses_by_step = []
    for _ in range(steps):
        if beta is None:
            loss = -sum(log_prob(model, *row) for row in rows) / sum(len(answer) for _, answer in rows)
        else:
            loss = 0
            for prompt_ids, *pair in rows:
                with torch.no_grad():
                    reference = [log_prob(frozen, prompt_ids, answer) for answer in pair]
                moved = [log_prob(model, prompt_ids, answer) - was for answer, was in zip(pair, reference, strict=True)]
                loss = loss - torch.nn.functional.logsigmoid(beta * (moved[0] - moved[1])) / len(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses_by_step.append(loss.item())
    assert all(math.isfinite(loss) for loss in losses_by_step)
    return losses_by_step


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
