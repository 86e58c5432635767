"""Nothing lost and nothing bought twice: faults, kill -9, re-use."""

import random
import shutil
import time
from pathlib import Path

from bench.teacher_stage import ALL_FAULTS, Stage, bought, judged, kill_group, reply, serving_process, wait_for


def faults(folder: Path, times: int, n: int = 1000) -> list[dict]:
    """10 % of the conversations meet a fault of any kind; each run has a seed of its own."""
    runs = []
    for seed in range(times):
        with serving_process(reply, fault_share=0.1, seed=seed, faults=ALL_FAULTS, delay_s=0.02) as server:
            stage = Stage(folder / f"faults-{seed}", server.base_url, max_concurrency=64, timeout_s=2.0)
            stage.write_queries(range(n))
            start = time.monotonic()
            code = stage.run()
            if code:
                print(stage.said())
            run = {"seed": seed, "n": n, "exit": code, "wall_s": time.monotonic() - start}
            totals, log = server.totals(), server.log()
            runs.append(run | {"requests": totals["requests"], "answered": totals["answered"]})
            if code == 0:
                runs[-1] |= judged(stage, log, seed)
            print(runs[-1], flush=True)
    return runs


def faults_table(runs: list[dict]) -> list[str]:
    names = ["exit", "true", "bad_as_good", "good_set_aside", "wrong_reason", "lost", "twice", "requests"]
    lines = [f"| seed | N | wall | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for run in runs:
        found = " | ".join(str(run.get(name, "-")) for name in names)
        lines.append(f"| {run['seed']} | {run['n']} | {run['wall_s']:.0f} s | {found} |")
    return lines


def killed(folder: Path, times: int, n: int = 400, workers: int = 16, kills: int = 20) -> list[dict]:
    """SIGKILL the stage's process group at random points, run it again to its end, compare the bytes."""
    draw = random.Random(times)
    with serving_process(reply, delay_s=0.05, sigma=0.5) as server:
        calm = Stage(folder / "calm", server.base_url, max_concurrency=workers)
        calm.write_queries(range(n))
        if calm.run():
            raise SystemExit(calm.said())
        undisturbed = calm.files()
        runs = []
        for number in range(kills):
            stage = Stage(folder / f"killed-{number}", server.base_url, max_concurrency=workers)
            stage.write_queries(range(n))
            runs.append(one_kill(stage, server, draw, n, cut=number % 2 == 1) | {"number": number, "n": n})
            runs[-1]["equal"] = runs[-1]["exit"] == 0 and stage.files() == undisturbed
            runs[-1]["rows"] = len(stage.rows()) if runs[-1]["exit"] == 0 else None
            print(runs[-1], flush=True)
            shutil.rmtree(stage.folder)
    return runs


def one_kill(stage: Stage, server, draw: random.Random, n: int, cut: bool) -> dict:
    server.forget()
    process = stage.start()
    at = draw.randint(1, n - 1)
    before = wait_for(server, at, process)
    time.sleep(draw.uniform(0, 0.03))
    early = process.poll() is not None
    kill_group(process)
    time.sleep(0.3)  # until the server has noticed
    gone = server.totals()["gone"]
    lost_bytes = cut_wal(stage.home, draw) if cut else 0
    code = stage.run()
    if code:
        print(stage.said())
    again = sum(count - 1 for count in bought(server.log()).values())
    return {"at": at, "ended_before": early, "in_flight": before["in_flight"], "gone": gone, "wal_cut": lost_bytes,
            "repeated": again, "exit": code}  # fmt: skip


def cut_wal(home: Path, draw: random.Random) -> int:
    """Cut the end off the store's write-ahead log, as a power failure may; return how many bytes went."""
    cut = 0
    for path in home.rglob("*-wal"):
        size = path.stat().st_size
        if size:
            cut += (left := draw.randint(1, size))
            with path.open("r+b") as file:
                file.truncate(size - left)
    return cut


def killed_table(runs: list[dict]) -> list[str]:
    plain, cut = [run for run in runs if not run["wal_cut"]], [run for run in runs if run["wal_cut"]]
    lines = [
        "| kills | re-run ends with 0 | files equal to an undisturbed run | in flight at the kills (server) | "
        "answers bought twice, sum | most at one kill |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in (("kill -9", plain), ("kill -9, then the log cut by a random number of bytes", cut)):
        if group:
            lines.append(
                f"| {len(group)} x {name} | {sum(run['exit'] == 0 for run in group)} | "
                f"{sum(run['equal'] for run in group)} | {sum(run['in_flight'] for run in group)} | "
                f"{sum(run['repeated'] for run in group)} | {max(run['repeated'] for run in group)} |"
            )
    return [*lines, "", f"{sum(run['ended_before'] for run in runs)} of the kills came after the end of the stage."]


def reused(folder: Path, times: int, n: int = 200) -> list[dict]:
    """Run the stage again with one thing changed each time, and count the requests."""
    runs = []
    with serving_process(reply) as server:
        stage = Stage(folder / "reused", server.base_url)

        def again(what: str, expected: int, numbers, **teacher):
            stage.write_queries(numbers)
            server.forget()
            code = stage.run(**teacher)
            if code:
                print(stage.said())
            asked = server.totals()["requests"]
            runs.append({"what": what, "n": len(numbers), "exit": code, "requests": asked, "expected": expected})
            print(runs[-1], flush=True)

        again("first run", n, range(n))
        again("the same", 0, range(n))
        again("20 rows more", 20, range(n + 20))
        again("50 rows fewer", 0, range(50, n))
        again("the other way round", 0, range(n - 1, -1, -1))
        again("shuffled", 0, random.Random(0).sample(range(n), n))
        again("max_concurrency 3", 0, range(n), max_concurrency=3)
        again("max_concurrency 64", 0, range(n), max_concurrency=64)
        again("timeout_s and attempts", 0, range(n), timeout_s=9.0, attempts=2)
        again("another model", n, range(n), model="other")
        again("temperature 0.3", n, range(n), temperature=0.3)
        text = stage.template.read_text()
        stage.template = stage.folder / "fewshot.jinja"
        stage.template.write_text(text.replace("about 100 words", "about 90 words"))
        again("another template", n, range(n))
        stage.template.write_text(text)
        again("all as at first", 0, range(n))
    return runs


def reused_table(runs: list[dict]) -> list[str]:
    lines = ["| run again with | N | new requests | expected |", "|---|---|---|---|"]
    return lines + [f"| {run['what']} | {run['n']} | {run['requests']} | {run['expected']} |" for run in runs]
