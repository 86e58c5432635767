"""Video and picture pipelines small enough to make in a second: random weights, the real classes, a folder each."""

import json
from pathlib import Path

from schemas.seams import RenderRequest

WORDS = "a dog runs in the park cat sits under tree red blue sky bird flies over sea slow camera".split()
TEXT_LENGTH = 16
"""tokens that the tiny CogVideoX reads"""
SIZES = {"n_frames": 9, "height": 64, "width": 64, "num_inference_steps": 2, "dtype": "float32"}
FAMILIES = {
    "cogvideox": {"max_sequence_length": TEXT_LENGTH},
    "wan": {},
    "ltx": {},
    "hunyuan": {},
    "stable_diffusion": {"n_frames": 1},
}
DOG, CAT = RenderRequest("a dog runs", 1), RenderRequest("a cat sits under a tree", 1)


def t5(width: int = 16):
    """Return (tokenizer, text encoder): a word of WORDS is a piece, all else is letters."""
    import torch
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS), "▁", *"abcdefghijklmnopqrstuvwxyz,."]
    tokenizer = T5TokenizerFast(vocab=[(piece, -float(at)) for at, piece in enumerate(pieces)], extra_ids=0)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return tokenizer, T5EncoderModel(config).eval()


def clip():
    """Return (tokenizer, text encoder) of 77 tokens: a word of WORDS is a token, all else is letters."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    pieces = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz,.", *(f"{word}</w>" for word in WORDS)]
    pieces += [f"{letter}</w>" for letter in "bcdefghijklmnopqrstuvwxyz,."]
    tokenizer = CLIPTokenizer(vocab={piece: at for at, piece in enumerate(pieces)}, merges=[], model_max_length=77)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(pieces), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return tokenizer, CLIPTextModel(config).eval()


def llama():
    """Return (tokenizer, text encoder): a word is a token, and HunyuanVideo's instruction the 95 that it cuts off."""
    import torch
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    pieces = ["<pad>", "<unk>", "[I]", *WORDS]
    words = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(pieces)}, unk_token="<unk>"))
    instruction, _, end = DEFAULT_PROMPT_TEMPLATE["template"].partition("{}")
    cut = DEFAULT_PROMPT_TEMPLATE["crop_start"]
    words.normalizer = normalizers.Sequence(
        [normalizers.Replace(instruction, "[I] " * cut), normalizers.Replace(end, " <unk>")]
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pieces), hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2
    )
    return tokenizer, LlamaModel(config).eval()


def cogvideox(folder: Path, text_length: int = TEXT_LENGTH, width: int = 8, channels: int = 8, layers: int = 1) -> Path:
    """Write a CogVideoX of 64 x 64 pixels and 9 frames; a wider one takes its real time at real sizes."""
    import torch
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    tokenizer, text_encoder = t5()
    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=width, in_channels=4, out_channels=4, time_embed_dim=8,
        text_embed_dim=16, num_layers=layers, sample_width=8, sample_height=8, sample_frames=9,
        max_text_seq_length=text_length,
    )  # fmt: skip
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(channels,) * 4, latent_channels=4, layers_per_block=1, norm_num_groups=2,
        sample_height=96, sample_width=80,  # tiles of 48 x 40, whose overlaps come out even
    )  # fmt: skip
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True, snr_shift_scale=3.0
    )
    pipeline = CogVideoXPipeline(tokenizer, text_encoder, vae, transformer, scheduler)
    return saved(pipeline, folder)


def wan(folder: Path) -> Path:
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer, _ = t5()
    torch.manual_seed(0)
    text_encoder = UMT5EncoderModel(
        UMT5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    transformer = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=16, ffn_dim=32, num_layers=1,
        rope_max_seq_len=32,
    )  # fmt: skip
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return saved(
        WanPipeline(
            tokenizer=tokenizer, text_encoder=text_encoder, vae=vae, transformer=transformer, scheduler=scheduler
        ),
        folder,
    )


def ltx(folder: Path) -> Path:
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )

    tokenizer, text_encoder = t5()
    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=12, cross_attention_dim=24,
        num_layers=1, caption_channels=16,
    )  # fmt: skip
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05)
    return saved(LTXPipeline(scheduler, vae, text_encoder, tokenizer, transformer), folder)


def hunyuan(folder: Path) -> Path:
    import torch
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )

    tokenizer, text_encoder = llama()
    tokenizer_2, text_encoder_2 = clip()
    torch.manual_seed(0)
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=1, num_single_layers=1,
        num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=16, rope_axes_dim=(2, 4, 4),
    )  # fmt: skip
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=4
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=7.0)
    return saved(
        HunyuanVideoPipeline(text_encoder, tokenizer, transformer, vae, scheduler, text_encoder_2, tokenizer_2), folder
    )


def stable_diffusion(folder: Path, checker: float | None = None) -> Path:
    """Write a Stable Diffusion of 64 x 64 pixels; `checker` is a safety checker's threshold (-2: all is bad)."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tokenizer, text_encoder = clip()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4, latent_channels=4, norm_num_groups=4,
    )  # fmt: skip
    safety_checker = None
    if checker is not None:
        vision = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=32)
        text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
        safety_checker = StableDiffusionSafetyChecker(
            CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)
        )
        safety_checker.concept_embeds_weights.data.fill_(checker)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet,
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1, beta_schedule="scaled_linear"),
        safety_checker=safety_checker, feature_extractor=CLIPImageProcessor(), requires_safety_checker=False,
    )  # fmt: skip
    return saved(pipeline, folder)


def saved(pipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def changed(folder: Path, file: str, **values) -> None:
    """Change values of a JSON file of a pipeline's folder."""
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_weights(folder: Path, part: str, **values) -> Path:
    """Change tensors of a component, by name, to one value each."""
    from safetensors.torch import load_file, save_file

    path = folder / part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    for name, value in values.items():
        tensors[name.replace("__", ".")].fill_(value)
    save_file(tensors, path)
    return folder
