"""Reward models small enough to make in a second, in the layout of the real ones, and clips for them."""

import json
from pathlib import Path

import numpy as np

from pipeline.video.clips import encode
from schemas.params_reward import RewardModelParams
from tests.support.params import section_of

WINDOW = 16
WIDTH = 32


def params(backend: str, model, **values) -> RewardModelParams:
    values.setdefault("dtype", "float32")
    return section_of("reward", backend=backend, scored_text="query", model=str(model), **values)


def video(seed: int = 0, n: int = 9, height: int = 32, width: int = 48) -> bytes:
    """Return an mp4 of random blocks of colour, another one for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (n, height // 8, width // 8, 3), dtype=np.uint8)
    return encode(blocks.repeat(8, axis=1).repeat(8, axis=2), 8)


def seeded(seed: int = 0) -> None:
    import torch

    torch.manual_seed(seed)


def clip_config():
    from transformers import CLIPConfig

    layer = {"hidden_size": WIDTH, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    # weights that have a say: as small as they are usually drawn, all pictures and all texts look alike to two layers
    text = {"vocab_size": 514, "max_position_embeddings": WINDOW, "bos_token_id": 0, "eos_token_id": 1}
    picture = {"image_size": 24, "patch_size": 8, "initializer_range": 0.5}
    return CLIPConfig(
        text_config=layer | text | {"initializer_factor": 6.0}, vision_config=layer | picture, projection_dim=24
    )


def save_clip_processor(folder: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPImageProcessorPil, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    ends = [f"{letter}</w>" for letter in letters]
    vocab = {token: at for at, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters, *ends])}
    CLIPTokenizer(vocab=vocab, merges=[], model_max_length=WINDOW).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}).save_pretrained(folder)


def save_clip(folder: Path):
    """Write a CLIP in transformers' layout and return the model."""
    from transformers import CLIPModel

    seeded()
    model = CLIPModel(clip_config()).eval()
    model.save_pretrained(folder)
    save_clip_processor(folder)
    return model


def save_head(path: Path, bias: float = 5.0):
    """Write an aesthetic head and return (weight (1, dimensions), bias (1,))."""
    import torch
    from safetensors.torch import save_file

    seeded(1)
    head = {"weight": torch.randn(1, 24), "bias": torch.tensor([bias])}
    save_file(head, path)
    return head["weight"], head["bias"]


def mps_tensors() -> dict:
    """Return random tensors under the names of the authors' checkpoint, those that older versions saved too."""
    import torch
    from transformers import CLIPModel

    seeded()
    wide, heads, head = 24, 16, 64
    tensors = {f"model.{name}": value for name, value in CLIPModel(clip_config()).state_dict().items()}
    tensors["model.text_model.embeddings.position_ids"] = torch.arange(WINDOW)[None]

    def drawn(*shape):
        return torch.randn(shape) * shape[-1] ** -0.5

    for at in range(4):
        cross, own = f"cross_model.layers.{at}.0.fn.", f"cross_model.layers.{at}.1.fn."
        for prefix in (cross, own):
            tensors |= {f"{prefix}norm.weight": torch.rand(wide) + 0.5, f"{prefix}norm.bias": torch.zeros(wide)}
        tensors |= {
            f"{cross}to_q.weight": drawn(heads * head, wide),
            f"{cross}to_kv.weight": drawn(2 * head, wide),
            f"{cross}to_out.weight": drawn(wide, heads * head),
            f"{cross}ff.0.weight": drawn(8 * wide, wide),
            f"{cross}ff.2.weight": drawn(wide, 4 * wide),
            f"{own}rotary_emb.inv_freq": 1.0 / (10000 ** (torch.arange(0, head, 2).float() / head)),
            f"{own}fused_attn_ff_proj.weight": drawn(heads * head + 2 * head + 8 * wide, wide),
            f"{own}attn_out.weight": drawn(wide, heads * head),
            f"{own}ff_out.1.weight": drawn(wide, 4 * wide),
        }
    return tensors


def save_mps(folder: Path, tensors: dict | None = None) -> dict:
    """Write an MPS folder and return its tensors."""
    from safetensors.torch import save_file

    tensors = tensors or mps_tensors()
    folder.mkdir(parents=True, exist_ok=True)
    clip_config().save_pretrained(folder)
    save_clip_processor(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return tensors


def idefics2_config():
    from transformers import Idefics2Config

    return Idefics2Config(
        vision_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 48, "patch_size": 8, "initializer_range": 0.3,
        },
        perceiver_config={
            "hidden_size": 32, "resampler_n_latents": 3, "resampler_depth": 1, "resampler_n_heads": 2,
            "resampler_head_dim": 8, "num_key_value_heads": 1, "initializer_range": 0.3,
        },
        text_config={
            "model_type": "mistral", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 160, "pad_token_id": 0,
            "max_position_embeddings": 4096, "initializer_range": 0.3,
        },
        image_token_id=5, num_labels=5,
    )  # fmt: skip


def save_videoscore(folder: Path):
    """Write a VideoScore folder, in two shards as the real ones are, and return (Idefics2Model, head)."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Idefics2ImageProcessorPil, Idefics2Model, PreTrainedTokenizerFast

    seeded()
    config = idefics2_config()
    model, head = Idefics2Model(config).eval(), torch.nn.Linear(32, 5)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"score.{name}": value.detach() for name, value in head.state_dict().items()}
    names, place = sorted(tensors), {}
    for at, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{at:05d}-of-00002.safetensors"
        save_file({name: tensors[name].contiguous() for name in part}, folder / file, metadata={"format": "pt"})
        place |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    special = ["<unk>", "<s>", "</s>", "<pad>", "<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    letters = [chr(code) for code in range(32, 127)]
    vocab = {token: at for at, token in enumerate([*special, *letters])}
    tokens = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokens, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>",
        additional_special_tokens=special[4:],
    ).save_pretrained(folder)  # fmt: skip
    pictures = Idefics2ImageProcessorPil(size={"shortest_edge": 24, "longest_edge": 48}, do_image_splitting=False)
    pictures.save_pretrained(folder)
    return model, head
