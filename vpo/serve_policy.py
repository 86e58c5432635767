"""`vpo serve-policy`: the vLLM command that serves a trained policy so that `rollout` can ask it."""

import importlib.util
import json
import os
import shlex
from pathlib import Path

import click

from pipeline.runtime.named_model import download, read_name
from schemas.params import Params
from vpo.graph import recipe_option
from vpo.project import find_project

KEY = "VLLM_API_KEY"  # vLLM reads it by itself, so that the key stands in no command line
SPARE = 1024  # tokens for the template and the query beside those that are written (ours)


@click.command("serve-policy")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--port", default=8000, show_default=True, help="Where it listens.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for other machines; then set a key.")
@click.option("--run", is_flag=True, help="Start it, in place of printing the command.")
@recipe_option
def main(folder: Path, port: int, host: str, run: bool, recipe: str) -> None:
    """Print the vLLM command that serves the model in FOLDER, or start it with --run."""
    from pipeline.runtime.params_file import load_params

    if not (folder / "config.json").is_file() and read_name(folder) is None:
        raise click.ClickException(f"{folder}: not a model folder (no config.json in it)")
    words = command(folder, longest_answer(load_params(find_project() / "params.yaml")), host, port)
    installed = importlib.util.find_spec("vllm") is not None
    if not run:
        click.echo(shlex.join(words))
    click.echo(advice(folder, host, port, installed), err=True)
    if run:
        if not installed:
            raise click.ClickException("vllm is not installed here: pip install vllm, on a machine with a GPU")
        os.execvp(words[0], words)


def longest_answer(params: Params) -> int:
    """Return the most tokens that a stage or a user asks for at once."""
    return max(params.optimize.max_new_tokens, params.rollout.max_new_tokens)


def command(folder: Path, max_new_tokens: int, host: str, port: int) -> list[str]:
    """Return the words of `vllm serve`; a model that the folder names is served at its commit, under the folder's name.

    `--generation-config vllm`: else the server takes sampling defaults from the model's generation_config.json. Raises
    DataError for a named model that the Hub does not give.
    """
    name, commit = read_name(folder) or (str(folder), None)
    pinned = ["--revision", commit, "--tokenizer-revision", commit] if commit else []
    config = json.loads(Path(download(name, commit, ["config.json"]), "config.json").read_text(encoding="utf-8"))
    longest = config.get("max_position_embeddings") or max_new_tokens + SPARE
    return [
        "vllm", "serve", name, *pinned, "--served-model-name", folder.resolve().name, "--generation-config", "vllm",
        "--dtype", "auto", "--max-model-len", str(min(longest, max_new_tokens + SPARE)), "--host", host,
        "--port", str(port),
    ]  # fmt: skip


def advice(folder: Path, host: str, port: int, installed: bool) -> str:
    """Return what to do beside the command: how to get vLLM, how to ask the server, how to keep others out."""
    where = "HOST" if host == "0.0.0.0" else host
    lines = [] if installed else ["vllm is not installed here: pip install vllm, on a machine with a GPU"]
    lines.append(f"then: dvc exp run -S policy.backend=openai -S policy.endpoint.base_url=http://{where}:{port}/v1")
    lines.append(
        f"a key: export {KEY}=... where the server runs, and name the variable that holds it where rollout runs: "
        f"policy.endpoint.api_key_env={KEY}"
    )
    lines.append(f"the weights that are served must be those in {folder}: rows carry their hash")
    lines.append(
        "the server gives what the model writes; what a user gets where that is no usable prompt (optimize.on_failure, "
        "and no raw query that may ask for something harmful) is decided by who asks: rollout and vpo optimize do it"
    )
    return "\n".join(lines)
