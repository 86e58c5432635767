"""Fan-out: what Ray costs a unit over the loop in one process: `python -m bench.fanout` writes bench/results/fanout.md.

The offline renderer with clips of about 0.2 CPU seconds. CPU seconds are those of this process and all below it, so
Ray's own daemons count; both ways in the same run, the first clips of each, which start it, apart.
"""

import os
import platform
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.page import read_basis, write_page
from pipeline.backends.renderer import make_renderer
from pipeline.runtime.fanout import fan_out
from pipeline.runtime.fanout_ray import connect
from pipeline.runtime.params_file import load_params
from schemas.seams import RenderRequest

ROOT = Path(__file__).resolve().parents[1]
N_FRAMES, SIDE = 24, 160
N, WARM = 88, 8
TICKS = os.sysconf("SC_CLK_TCK")
# the words are the world's, so that every clip shows something
THINGS = "dog cat horse bird boat car tree house".split()


def tree() -> dict[int, float]:
    """Return the CPU seconds so far of this process and of all processes below it, by pid."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(entry.name)] = int(fields[1])
            # the ended children of its own are in the last two
            spent[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
        except (OSError, ValueError, IndexError):
            continue

    def ours(pid: int) -> bool:
        while pid != os.getpid() and pid in parents:
            pid = parents[pid]
        return pid == os.getpid()

    return {pid: seconds for pid, seconds in spent.items() if ours(pid)}


def requests() -> Iterator[RenderRequest]:
    for number in range(N):
        yield RenderRequest(f"A {THINGS[number % len(THINGS)]} runs in calm, soft light, take {number}.", number)


def measured(make, executor: str, workers: int) -> dict:
    """Run all; return what the first clip took, in seconds, and clips a CPU second from clip WARM to the last."""
    os.environ |= {"VPO_EXECUTOR": executor, "VPO_WORKERS": str(workers)}
    marks: list[tuple[float, dict[int, float]]] = [(time.monotonic(), tree())]
    kept = 0

    def keep(item, outcome):
        nonlocal kept
        kept += 1
        if kept in (1, WARM, N):
            marks.append((time.monotonic(), tree()))
        return outcome.value.frames_hash

    hashes = list(fan_out(make, requests(), lambda item: item, keep))
    start, first, warm, last = marks
    mine = last[1][os.getpid()] - warm[1][os.getpid()]
    return {
        "first_wall": first[0] - start[0],
        "first_cpu": spent(start, first),
        "driver": mine if executor == "ray" else 0.0,
        "rate": (N - WARM) / spent(warm, last),
        "hashes": hashes,
    }


def spent(before: tuple, after: tuple) -> float:
    return sum(after[1].values()) - sum(seconds for pid, seconds in before[1].items() if pid in after[1])


def main() -> None:
    basis = read_basis("fanout")
    params = load_params(ROOT / "params.yaml")
    shape = {"n_frames": N_FRAMES, "height": SIDE, "width": SIDE}
    make = partial(make_renderer, params.render.model_copy(update=shape), params.world)
    found = {"one process": measured(make, "local", 1)}
    before = time.monotonic(), tree()
    connect()
    after = time.monotonic(), tree()
    ray_start = after[0] - before[0], spent(before, after)
    for workers in (1, 2):
        found[f"Ray, {workers} worker{'s' * (workers > 1)}"] = measured(make, "ray", workers)
    found["one process, again"] = measured(make, "local", 1)
    assert all(said["hashes"] == found["one process"]["hashes"] for said in found.values())
    base = (found["one process"]["rate"] + found["one process, again"]["rate"]) / 2
    lines = [
        f"| {name} | {said['rate']:.2f} | {said['rate'] / base:.2f} | {1000 * said['driver'] / (N - WARM):.0f} | "
        f"{said['first_wall']:.1f} / {said['first_cpu']:.1f} |"
        for name, said in found.items()
    ]
    print(*lines, sep="\n")
    write_page("fanout", page(lines, ray_start, 1 / base), basis)


def page(lines: list[str], ray_start: tuple[float, float], clip_s: float) -> str:
    table = "\n".join(lines)
    return f"""# Fan-out: what Ray costs a unit

`python -m bench.fanout`: the offline renderer, {N} clips of {N_FRAMES} frames {SIDE}x{SIDE}, {clip_s:.2f} CPU seconds
each, on a shared {platform.machine()} machine with {os.cpu_count()} cores. CPU seconds of the driver, the workers and
Ray's own daemons together, from clip {WARM} to the last; the ratio is to the mean of the two runs in one process. The
driver's share is its milliseconds a clip: it asks, receives and would write. All four runs gave the same frames.

| way | clips a CPU second | to one process | driver, ms a clip | first clip after, wall s / CPU s |
|---|---|---|---|---|
{table}

A Ray cluster on this machine takes {ray_start[0]:.1f} s of wall and {ray_start[1]:.1f} s of CPU to start, once a stage
and before the figures above; a worker then imports what it needs, which is in the last column.

What this does not show: wall time on free cores (other jobs ran on these two, so more workers could not be faster),
machines apart, or clips of several megabytes between them. What Ray costs is by the clip and by the second, not by the
frame, so of clips that take a GPU half a minute it is a smaller part than of these.
"""


if __name__ == "__main__":
    main()
