"""Makes the pickled tensors of a reward model's authors safetensors, once: `python -m ... IN.pt OUT.safetensors`.

For the aesthetic head, HPSv2 (open_clip's names become transformers') and a .pt of MPS's tensors. Only tensors are
unpickled (torch's weights_only), so that the file can run no code; a file that holds more is refused.
"""

import hashlib
import pickle
import re
from pathlib import Path

import click

from pipeline.runtime.io import DataError, replacing

# a CLIP of open_clip -> the same of transformers
BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
SINGLE = {
    "logit_scale": "logit_scale",
    "text_projection": "text_projection.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.proj": "visual_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
TURNED = {"text_projection", "visual.proj"}
"""Kept by open_clip the other way round."""
IN_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
PACKED = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def convert(source: Path, target: Path) -> str:
    """Write the tensors of a pickle as safetensors and return the SHA-256 of the pickle. Raises DataError."""
    import torch
    from safetensors.torch import save_file

    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as fault:
        raise DataError(f"{source}: not a file of tensors alone, so it is not loaded: {str(fault)[:200]}") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(f"{source}: must hold tensors by name")
    if "visual.proj" in content:
        content = from_open_clip(content)
    # a copy each: tensors that share memory cannot be written
    tensors = {name: value.clone().contiguous() for name, value in content.items()}
    with replacing(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_open_clip(tensors: dict) -> dict:
    """Return the tensors of an open_clip CLIP under the names of transformers' CLIPModel. Raises DataError."""
    renamed = {}
    for name, value in tensors.items():
        if name in SINGLE:
            renamed[SINGLE[name]] = value.T if name in TURNED else value
        elif match := PACKED.fullmatch(name):
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{layer(match)}.self_attn.{part}_proj.{match[3]}"] = rows
        elif (match := IN_BLOCK.fullmatch(name)) and match[3] in BLOCK:
            renamed[f"{layer(match)}.{BLOCK[match[3]]}.{match[4]}"] = value
        elif name != "attn_mask":
            raise DataError(f"{name}: no tensor of an open_clip CLIP")
    return renamed


def layer(match: re.Match) -> str:
    return f"{'vision_model' if match[1] else 'text_model'}.encoder.layers.{match[2]}"


@click.command("convert")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def main(source: Path, target: Path) -> None:
    """Make the tensors of a pickle safetensors."""
    click.echo(f"sha256 {convert(source, target)}  {source.name}\nwrote {target}")


if __name__ == "__main__":
    main()
