"""Image-text-to-text models small enough to make in a second, saved to a folder as real ones are."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizers.decoders import ByteLevel

from pipeline.backends.reward.processor import pictures_only

WORDS = (
    "yes no Yes No YES NO Is the main object of text in video? Does it stay from start to end? Are all colors rich "
    "and sharp? Look at picture, then answer with or alone. system user assistant You are a helpful"
)
ENDS = ["<unk>", "<pad>", "<|im_start|>", "<|im_end|>"]


def chat(image: str) -> str:
    """Return a chat template in which each picture is `image`."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def tokenizer(special: list[str]):
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*ENDS, *special], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator([WORDS] * 3, trainer)
    made.decoder = ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", eos_token="<|im_end|>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def qwen2_vl(
    folder: Path, hidden_size=64, layers=2, heads=4, most_pixels=28 * 28 * 16, sliding_window=None, newer=False
) -> Path:
    """Save a Qwen2-VL, or a Qwen2.5-VL, with random weights and its processor; `most_pixels` bounds a picture."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
        Qwen2VLProcessor,
    )

    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    words = tokenizer(special)
    start, end, image, video = words.convert_tokens_to_ids(special)
    section = [hidden_size // heads // 8, *[hidden_size // heads * 3 // 16] * 2]
    windowed = {"use_sliding_window": True, "sliding_window": sliding_window, "max_window_layers": 0}
    looks = dict(depth=1, num_heads=2, patch_size=14, spatial_merge_size=2, temporal_patch_size=2)
    looks |= (
        dict(hidden_size=32, out_hidden_size=hidden_size, intermediate_size=64, fullatt_block_indexes=[0])
        if newer
        else dict(embed_dim=32, hidden_size=hidden_size, mlp_ratio=2)
    )
    kind, processor, config = (
        (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Qwen2_5_VLConfig)
        if newer
        else (Qwen2VLForConditionalGeneration, Qwen2VLProcessor, Qwen2VLConfig)
    )
    made = config(
        text_config=dict(
            hidden_size=hidden_size, intermediate_size=2 * hidden_size, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=heads // 2, vocab_size=len(words), initializer_range=0.2,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": section},
            bos_token_id=None, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
            **(windowed if sliding_window else {}),
        ),
        vision_config=looks | {"initializer_range": 0.2}, image_token_id=image, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=end, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    kind(made).save_pretrained(folder)
    pixels = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": most_pixels})
    template = chat("<|vision_start|><|image_pad|><|vision_end|>")
    pictures_only(processor)(pixels, words, chat_template=template).save_pretrained(folder)
    return folder


def llava(folder: Path) -> Path:
    """Save a LLaVA with random weights (CLIP and Llama) and its processor."""
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    words = tokenizer(["<image>"])
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=56,
            patch_size=14, initializer_range=0.2,
        ),
        text_config=LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=len(words), initializer_range=0.2, bos_token_id=None, eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_layer=-2,
        vision_feature_select_strategy="default", tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    looks = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    LlavaProcessor(
        image_processor=looks, tokenizer=words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=chat("<image>\n"),
    ).save_pretrained(folder)  # fmt: skip
    return folder
