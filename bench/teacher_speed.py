"""How fast, how large, how exact: limits, counts, wall, memory, CPU."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.teacher_stage import ALL_FAULTS, ROOT, Stage, reply, serving_process

HEADERS = {
    "headers": dict(told=True, retry_after=("ms", "s")),
    "headers, no Retry-After": dict(told=True, retry_after=()),
    "Retry-After alone": dict(told=False, retry_after=("ms", "s")),
    "no headers": dict(told=False, retry_after=()),
}
PER_MINUTE, WORKERS = 1200, 64
PRICE = {"usd_per_million_input_tokens": 2.5, "usd_per_million_output_tokens": 10.0}


def limits(folder: Path, times: int, n: int = 1500) -> list[dict]:
    """A limit that the client is not told: the rate from 5 s on as a share of it, the 429s, the losses."""
    runs = []
    tokens_each = tokens_of_one(folder)
    for number in range(times):
        for of in ("requests", "tokens"):
            for told, how in HEADERS.items():
                limit = {"requests_per_minute": PER_MINUTE} if of == "requests" else {
                    "tokens_per_minute": PER_MINUTE * tokens_each}  # fmt: skip
                with serving_process(reply, delay_s=0.2, sigma=0.5, **limit, **how) as server:
                    stage = Stage(folder / f"limits-{number}-{of}-{told}", server.base_url, max_concurrency=WORKERS)
                    stage.write_queries(range(n))
                    code = stage.run()
                    run = {"of": of, "told": told, "n": n, "exit": code, **rate(server.log(), of, tokens_each)}
                    run["lost"] = n - len(stage.rows()) if code == 0 else n
                    if code:
                        print(stage.said())
                runs.append(run)
                print(run, flush=True)
    return runs


def tokens_of_one(folder: Path) -> float:
    with serving_process(reply) as server:
        stage = Stage(folder / "one", server.base_url)
        stage.write_queries([1000])
        stage.run()
        totals = server.totals()
    return totals["input_tokens"] + totals["output_tokens"]


def rate(log: list[list], of: str, tokens_each: float) -> dict:
    """Return the share of the limit that was used from 5 s after the first request to the last, and the 429s."""
    log = sorted(log)
    first, last = log[0][0], log[-1][0]
    later = [entry for entry in log if entry[0] >= first + 5 and entry[2] == "ok"]
    used = len(later) if of == "requests" else sum(entry[3] + entry[4] for entry in later) / tokens_each
    seconds = last - first - 5
    return {
        "share": used / seconds / (PER_MINUTE / 60) if seconds > 0 else None,
        "429s": sum(entry[2] == "429_limit" for entry in log),
        "429s_allowed": WORKERS + round(0.01 * len({entry[1] for entry in log})),
        "seconds": last - first,
    }


def limits_table(runs: list[dict]) -> list[str]:
    lines = ["| limit of | the server tells | share of the limit from 5 s on | 429s | in flight + 1 % of N | lost |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for of in ("requests", "tokens"):
        for told in HEADERS:
            group = [run for run in runs if (run["of"], run["told"]) == (of, told)]
            if group:
                shares = [run["share"] for run in group if run["share"] is not None]
                lines.append(
                    f"| {of} | {told} | {f'{median(shares):.1%}' if shares else '-'} | "
                    f"{median(run['429s'] for run in group):.0f} | {group[0]['429s_allowed']} | "
                    f"{max(run['lost'] for run in group)} |"
                )
    return lines


def words(folder: Path) -> Path:
    """Write what stands before the query in a real few-shot conversation; return the file."""
    from pipeline.llm.template import Template
    from pipeline.runtime.io import read_rows
    from schemas.fewshot import Exemplar

    exemplars = [dict(item) for item in read_rows(ROOT / "pipeline/templates/exemplars.jsonl", Exemplar)]
    template = Template(ROOT / "pipeline/templates/fewshot.jinja")
    path = folder / "words.txt"
    path.write_text(template.fill(query="X", exemplars=exemplars).replace("<query>", "").replace("</query>", ""))
    return path


def client(kind: str, base_url: str, n: int, text: Path, *more: str, python=sys.executable, **teacher) -> dict:
    """Run bench/teacher_client.py; return what it prints, the CPU seconds of all its processes and its start."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "VPO_BENCH_TEACHER": json.dumps(teacher)}
    started = time.monotonic()
    with (text.parent / "client.txt").open("w+") as said:
        process = subprocess.Popen(
            [python, str(ROOT / "bench/teacher_client.py"), kind, base_url, str(n), str(text), *more],
            cwd=text.parent, env=environment, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        printed = said.read()
    if process.returncode:
        return {"kind": kind, "n": n, "error": printed[-600:]}
    found = json.loads(next(line for line in printed.splitlines()[::-1] if line.startswith('{"good"')))
    return found | {"cpu_s": used.ru_utime + used.ru_stime, "started": started,
                    "whole_s": time.monotonic() - started}  # fmt: skip


def counted(folder: Path, times: int, n: int = 500) -> list[dict]:
    """The engine's own counts against the server's totals, at 10 % mixed faults."""
    runs, text = [], words(folder)
    for seed in range(times):
        with serving_process(reply, fault_share=0.1, seed=seed, faults=ALL_FAULTS, delay_s=0.02) as server:
            found = client("engine", server.base_url, n, text, timeout_s=2.0, **PRICE)
            totals, log = server.totals(), server.log()
        if "error" in found:
            print(found["error"])
            continue
        told = {name: totals[name] for name in ("requests", "input_tokens", "output_tokens")} | {"usd": usd(totals)}
        odd = [entry for entry in log if entry[2] in ("no_choices", "two_choices")]
        in_odd = {"requests": 0, "input_tokens": sum(entry[3] for entry in odd),
                  "output_tokens": sum(entry[4] for entry in odd)}  # fmt: skip
        own = {name: found["counts"].get(name) for name in told}
        runs.append(
            {
                "seed": seed,
                "server": told,
                "in_odd": in_odd | {"usd": usd(in_odd)},
                "engine": own | {"usd": round(own["usd"], 6)},
            }
        )
        print(runs[-1], flush=True)
    return runs


def usd(tokens: dict) -> float:
    dollars = (tokens["input_tokens"] * PRICE["usd_per_million_input_tokens"]
               + tokens["output_tokens"] * PRICE["usd_per_million_output_tokens"])  # fmt: skip
    return round(dollars / 1e6, 8)


def counted_table(runs: list[dict]) -> list[str]:
    lines = ["| seed | who | requests | input tokens | output tokens | US dollars |", "|---|---|---|---|---|---|"]
    names = {"server": "server", "in_odd": "of it in completions of no or two choices", "engine": "engine"}
    for run in runs:
        for who, name in names.items():
            lines.append(f"| {run['seed']} | {name} | {' | '.join(str(value) for value in run[who].values())} |")
    return lines


def budget(folder: Path, times: int, n: int = 400) -> list[dict]:
    """A budget for a quarter of the calls: what the server sent beyond it, in calls."""
    runs, text = [], words(folder)
    with serving_process(reply, delay_s=0.1, sigma=0.5) as server:
        one = client("engine", server.base_url, 1, text, **PRICE)
        if "error" in one:
            print(one["error"])
            return []
        each = usd(server.totals())
        for number in range(times):
            for workers in (1, 16, 64):
                server.forget()
                limit = {"budget_usd": n / 4 * each, "max_concurrency": workers}
                found = client("engine", server.base_url, n, text, **PRICE, **limit)
                totals = server.totals()
                runs.append({"number": number, "workers": workers, "paid_for": n / 4, "stopped": found.get("stopped"),
                             "bought": usd(totals) / each, "most": totals["max_in_flight"]})  # fmt: skip
                print(runs[-1], flush=True)
    return runs


def budget_table(runs: list[dict]) -> list[str]:
    lines = ["| max_concurrency | calls that the budget pays | calls bought, most of all runs | beyond it | stops |",
             "|---|---|---|---|---|"]  # fmt: skip
    for workers in sorted({run["workers"] for run in runs}):
        group = [run for run in runs if run["workers"] == workers]
        most, paid = max(run["bought"] for run in group), group[0]["paid_for"]
        stops = sum(bool(run["stopped"]) for run in group)
        lines.append(f"| {workers} | {paid:.0f} | {most:.1f} | {most - paid:.1f} | {stops} of {len(group)} |")
    return lines


def wall(folder: Path, times: int, n: int = 5000) -> list[dict]:
    """64 in flight at 200 ms: the wall against the ideal, and the largest size of engine and plain loop."""
    runs, text = [], words(folder)
    with serving_process(reply, delay_s=0.2, sigma=0.5) as server:
        for _ in range(times):
            for kind in ("engine", "plain"):
                server.forget()
                found = client(kind, server.base_url, n, text)
                if "error" in found:
                    print(found["error"])
                    continue
                log = server.log()
                mean_s = sum(entry[5] for entry in log) / len(log)
                asked_s = max(entry[0] + entry[5] for entry in log) - min(entry[0] for entry in log)
                runs.append({"kind": kind, "n": n, "mean_s": mean_s, "ideal_s": n * mean_s / WORKERS,
                             "asked_s": asked_s, "wall_s": found["wall_s"], "peak_mb": found["peak_mb"],
                             "max_in_flight": server.totals()["max_in_flight"]})  # fmt: skip
                print(runs[-1], flush=True)
    return runs


def wall_table(runs: list[dict]) -> list[str]:
    lines = ["| client | first request to last answer / ideal | whole call / ideal | peak RSS | most in flight |",
             "|---|---|---|---|---|"]  # fmt: skip
    for kind in ("engine", "plain"):
        group = [run for run in runs if run["kind"] == kind]
        if group:
            lines.append(
                f"| {kind} | {median(run['asked_s'] / run['ideal_s'] for run in group):.3f} | "
                f"{median(run['wall_s'] / run['ideal_s'] for run in group):.3f} | "
                f"{median(run['peak_mb'] for run in group):.0f} MB | {max(run['max_in_flight'] for run in group)} |"
            )
    return lines


def first(folder: Path, times: int) -> list[dict]:
    """From the start of the stage's process to its first request, against a process that imports openai."""
    runs, text = [], words(folder)
    with serving_process(reply) as server:
        for number in range(times):
            server.forget()
            stage = Stage(folder / f"first-{number}", server.base_url)
            stage.write_queries(range(5))
            started = time.monotonic()
            stage.run()
            first_s = min(entry[0] for entry in server.log()) - started
            imports = client("import", server.base_url, 0, text)
            runs.append({"first_s": first_s, "import_s": imports["whole_s"]})
            print(runs[-1], flush=True)
    return runs


def first_table(runs: list[dict]) -> list[str]:
    return [
        "| start of the stage to its first request | a process that imports openai | difference |",
        "|---|---|---|",
        f"| {median(run['first_s'] for run in runs):.2f} s | {median(run['import_s'] for run in runs):.2f} s | "
        f"{median(run['first_s'] - run['import_s'] for run in runs):+.2f} s |",
    ]


def size(folder: Path, times: int, few: int = 1000, many: int = 100_000) -> list[dict]:
    """The engine's largest size at few and at many rows, none of which is kept."""
    runs, text = [], words(folder)
    with serving_process(reply) as server:
        for _ in range(times):
            for n in (few, many):
                server.forget()
                found = client("engine", server.base_url, n, text, "--count")
                if "error" in found:
                    print(found["error"])
                    continue
                runs.append({name: found[name] for name in ("n", "good", "peak_mb", "wall_s", "cpu_s")})
                print(runs[-1], flush=True)
    return runs


def size_table(runs: list[dict]) -> list[str]:
    lines = ["| N | peak RSS | CPU ms a request |", "|---|---|---|"]
    for n in sorted({run["n"] for run in runs}):
        group = [run for run in runs if run["n"] == n]
        each = median(run["cpu_s"] / n * 1000 for run in group)
        lines.append(f"| {n:,} | {median(run['peak_mb'] for run in group):.1f} MB | {each:.2f} |")
    return lines


def cpu(folder: Path, times: int, few: int = 200, many: int = 2000) -> list[dict]:
    """CPU of a client a request: what `many` take beyond `few`, so that imports and set-up are not in it."""
    pythons = dict.fromkeys(("engine", "plain", "lean"), sys.executable)
    for kind in ("curator", "distilabel"):
        variable = f"VPO_BENCH_{kind.upper()}"
        if os.environ.get(variable):
            pythons[kind] = os.environ[variable]
        else:
            print(f"{kind}: left out; set {variable} to a Python that has it")
    runs, text = [], words(folder)
    with serving_process(reply, delay_s=0.05) as server:
        for _ in range(times):
            for kind, python in pythons.items():
                pair = [client(kind, server.base_url, n, text, python=python) for n in (few, many)]
                if errors := [found["error"] for found in pair if "error" in found]:
                    print(f"{kind}: {errors[0]}")
                    continue
                if [found["good"] for found in pair] != [few, many]:
                    print(f"{kind}: {[found['good'] for found in pair]} answers of {few, many}")
                    continue
                each = (pair[1]["cpu_s"] - pair[0]["cpu_s"]) / (many - few) * 1000
                runs.append({"kind": kind, "ms": each, "whole_ms": pair[1]["cpu_s"] / many * 1000,
                             "peak_mb": pair[1]["peak_mb"], "wall_s": pair[1]["wall_s"]})  # fmt: skip
                print(runs[-1], flush=True)
    return runs


def cpu_table(runs: list[dict]) -> list[str]:
    lines = ["| client | CPU ms a request | engine / it | with imports and set-up, of 2,000 | engine / it |",
             "|---|---|---|---|---|"]  # fmt: skip

    def middle(kind: str, name: str) -> float:
        return median(run[name] for run in runs if run["kind"] == kind)

    kinds = list(dict.fromkeys(run["kind"] for run in runs))
    if "engine" not in kinds:
        return ["The engine itself did not run."]
    for kind in kinds:
        shares = [middle("engine", name) / middle(kind, name) for name in ("ms", "whole_ms")]
        lines.append(f"| {kind} | {middle(kind, 'ms'):.2f} | {shares[0]:.2f} | {middle(kind, 'whole_ms'):.2f} | "
                     f"{shares[1]:.2f} |")  # fmt: skip
    return lines
