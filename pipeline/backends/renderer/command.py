"""Renderers outside: a manifest goes out, a folder of clips comes in, each is looked at before it is taken.

For systems that need an environment of their own, e.g. Open-Sora 1.2 (opensora.py beside this file):

    render:
      backend: command
      model: hpcai-tech/OpenSora-STDiT-v3
      revision: v1.2
      command: [/envs/opensora/bin/python, opensora.py, /src/Open-Sora, "{manifest}", "{clips}"]

The manifest is JSONL: video_id, prompt, negative_prompt, seed, n_frames, height, width, frames_per_second,
num_inference_steps, guidance_scale, max_sequence_length; what is null is left out. The program writes
`<video_id>.mp4` into the folder, a file and no link, or .png or .jpg where n_frames is 1.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import click

from pipeline.backends.renderer.http_host import MOST_FILE
from pipeline.runtime.io import DataError
from pipeline.runtime.store import home
from pipeline.video.clips import BadClip
from pipeline.video.ingest import Shape, ingest
from pipeline.video.rendering import video_id
from schemas.base import Provenance, content_id
from schemas.params_render import CommandRenderParams
from schemas.reasons import Reason
from schemas.seams import Clip, Outcome, RenderRequest

GUARD = Path(__file__).with_name("command_guard.py")

BATCH_SIZE = 64
"""ours: a program that loads its weights at each call loads them for so many clips"""
MOST_BARREN = 3
"""ours: after so many calls in a row that failed without one clip, the program is at fault and not the prompts"""
OURS = re.compile(r"[0-9a-f]{16}\.(mp4|png|jpg)")


class Command:
    """Clips of a program outside, `batch_size` a call.

    The folder is the same for equal settings, and a clip leaves it when it is kept: what a killed run has finished the
    next one takes, and only the rest is asked for. `revision` must name all that the program and its command do.
    """

    token_limit: int | None = None

    def __init__(self, params: CommandRenderParams):
        self.params, self.needs, self.shape = params, params.needs, Shape.of(params)
        self.at_once = params.batch_size or BATCH_SIZE
        names = (
            "n_frames", "height", "width", "frames_per_second", "num_inference_steps", "guidance_scale",
            "max_sequence_length",
        )  # fmt: skip
        self.sent = {name: value for name in names if (value := getattr(params, name)) is not None}
        if params.negative_prompt:
            self.sent["negative_prompt"] = params.negative_prompt
        self.by = Provenance(backend="command", model=params.model, revision=params.revision)
        # its hash, since the words may name folders of this machine
        self.settings = {"command": content_id(params.command), **self.sent}

    def count_tokens(self, prompt: str) -> int:
        raise NotImplementedError("a program outside does not tell how it counts")

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield an Outcome for each request, in order. Raises DataError when the program cannot be used."""
        folder = home() / "command" / content_id(self.by.model_dump(), self.settings)
        source, barren = iter(requests), 0
        while batch := list(islice(source, self.at_once)):
            wanted = {video_id(self, request): request for request in batch}
            with _held(folder) as lock:
                for name in wanted:  # of a run that was killed: whole, or half written
                    if (path := _clip(folder, name)) and isinstance(self._taken(path), str):
                        _remove(path)
                missing = {name: request for name, request in wanted.items() if not _clip(folder, name)}
                why = self._call(folder, missing, lock) if missing else ""
                barren = barren + 1 if why and not any(_clip(folder, name) for name in missing) else 0
                if barren == MOST_BARREN:
                    raise DataError(
                        f"{self.params.command[0]} failed {barren} times in a row without one clip: {why}; "
                        f"what it said is in {folder / 'said.log'}"
                    )
                # still held: who waits must not count on a clip that is about to leave
                for request in batch:
                    yield self._outcome(_clip(folder, video_id(self, request)), why)
                for name in wanted:  # all are kept by now
                    if path := _clip(folder, name):
                        _remove(path)

    def _outcome(self, path: Path | None, why: str) -> Outcome[Clip]:
        if path is None:
            detail = why or "the program ended well, without this clip"
            return Outcome(by=self.by, reason=Reason.RENDER_FAILED, detail=detail)
        clip = self._taken(path)
        if isinstance(clip, str):
            return Outcome(by=self.by, reason=Reason.BAD_CLIP, detail=clip)
        return Outcome(value=clip, by=self.by)

    def _taken(self, path: Path) -> Clip | str:
        """Return a file as a clip, or what is wrong with it."""
        try:
            # what a link leads to is nobody's clip, and a few of its words would stand in the dropped rows
            if path.is_symlink() or not path.is_file():
                return "a link, a folder or a pipe, not a file"
            if (size := path.stat().st_size) > MOST_FILE:
                return f"a file of {size} bytes"
            return ingest(path.read_bytes(), self.shape)
        except BadClip as fault:
            return str(fault)
        except OSError as fault:
            return f"a file that cannot be read: {fault.strerror}"

    def _call(self, folder: Path, missing: dict[str, RenderRequest], lock: int) -> str:
        """Run the program for the clips that are missing; return why it failed, "" when it ended well."""
        lines = [
            {"video_id": name, "prompt": request.prompt, "seed": request.seed, **self.sent}
            for name, request in missing.items()
        ]
        manifest, clips, output = folder / "manifest.jsonl", folder / "clips", folder / "said.log"
        manifest.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        words = [
            word.replace("{manifest}", str(manifest)).replace("{clips}", str(clips)) for word in self.params.command
        ]
        if not shutil.which(words[0]):
            raise DataError(f"render.command: there is no program {words[0]}")
        click.echo(f"  render: {words[0]} makes {len(missing)} clips; what it says is in {output}", err=True)
        with output.open("w+b") as log:
            guard = subprocess.Popen(
                [sys.executable, "-I", str(GUARD), *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),  # so that the next run waits until a program of this one is gone
            )
            try:
                code = guard.wait()
            finally:
                if guard.stdin is not None:
                    guard.stdin.close()
                guard.wait()
            last = _last_line(log)
        if not _is_folder(clips):
            raise DataError(f"{words[0]} took away the folder that clips go into, {clips}; the last it said: {last}")
        strange = sorted(_shown(path.name) for path in clips.iterdir() if not OURS.fullmatch(path.name))
        if strange:
            click.echo(f"  render: ignored in {clips}: {', '.join(strange[:5])} ({len(strange)} in all)", err=True)
        return f"exit code {code}: {last}" if code else ""


def _clip(folder: Path, name: str) -> Path | None:
    """Return what lies under a clip's name, whatever it is."""
    candidates = (folder / "clips" / f"{name}{suffix}" for suffix in (".mp4", ".png", ".jpg"))
    return next((path for path in candidates if os.path.lexists(path)), None)


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _last_line(log: BinaryIO) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
    lines = log.read().decode(errors="replace").split("\n")
    return next((_shown(" ".join(line.split()))[:300] for line in reversed(lines) if line.strip()), "it said nothing")


def _shown(words: str) -> str:
    """Return words in which no sign commands a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in words)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[int]:
    """Hold a folder's lock, waiting for who has it: two programs must not write the same clips."""
    import fcntl

    clips = folder / "clips"
    if os.path.lexists(clips) and not _is_folder(clips):
        clips.unlink()
    clips.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)
