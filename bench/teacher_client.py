"""One client in a process of its own, run by any interpreter: asks N conversations and prints what that took as JSON.

`python bench/teacher_client.py KIND BASE_URL N WORDS.txt`, KIND a key of KINDS.
"""

import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

WORKERS = 64
os.environ["OPENAI_API_KEY"] = "sk-bench"


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def peak_mb() -> float:
    """Return the process's largest resident size; ru_maxrss would count what its parent held before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def conversations(words: str, n: int):
    for number in range(n):
        query = f"a street musician number {number} under a bridge"
        yield [{"role": "user", "content": f"{words}\n<query>\n{query}\n</query>"}]


def engine(base_url: str, n: int, words: str, keep: bool) -> dict:
    """The project's teacher with a store of its own; `VPO_BENCH_TEACHER` holds more params as JSON."""
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root))
    from pipeline.backends.teacher.openai import OpenAI
    from pipeline.runtime.params_file import load_params
    from pipeline.runtime.store import Store
    from tests.support.params import with_values

    more = json.loads(os.environ.get("VPO_BENCH_TEACHER", "{}"))
    values = dict(backend="openai", model="m", base_url=base_url, max_concurrency=WORKERS) | more
    params = with_values(load_params(root / "params.yaml").teacher, **values)
    with tempfile.TemporaryDirectory() as folder:
        teacher = OpenAI(params, Store(Path(folder) / "store"))
        kept, good, failed, stopped = [], 0, 0, None
        try:
            for outcome in teacher.map(conversations(words, n), parse=str):
                good += outcome.value is not None
                failed += outcome.value is None
                if keep:
                    kept.append(outcome.value)
        except Exception as fault:
            stopped = f"{type(fault).__name__}: {fault}"
        return {"good": good, "failed": failed, "stopped": stopped, "counts": asdict(teacher.engine.ledger.counts)}


def plain(base_url: str, n: int, words: str, keep: bool) -> dict:
    """The library's own client on aiohttp, a semaphore and a list: what one writes first."""
    import asyncio

    import openai

    async def all_of_them():
        gate = asyncio.Semaphore(WORKERS)
        async with openai.AsyncOpenAI(base_url=base_url, http_client=openai.DefaultAioHttpClient()) as client:

            async def ask(messages):
                async with gate:
                    response = await client.chat.completions.create(model="m", messages=messages)
                return response.choices[0].message.content

            return await asyncio.gather(*(ask(messages) for messages in conversations(words, n)))

    return {"good": sum(bool(text) for text in asyncio.run(all_of_them()))}


def lean(base_url: str, n: int, words: str, keep: bool) -> dict:
    """As plain, by as many workers as may be in flight, raw responses without the library's models, a line a reply."""
    import asyncio

    import httpx2
    import openai

    async def all_of_them(file) -> int:
        unread, good = iter(conversations(words, n)), 0
        async with openai.AsyncOpenAI(base_url=base_url, http_client=openai.DefaultAioHttpClient()) as client:

            async def work() -> None:
                nonlocal good
                for messages in unread:
                    body = {"model": "m", "messages": messages}
                    response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
                    reply = json.loads(response.content)
                    good += bool(reply["choices"][0]["message"]["content"])
                    file.write(json.dumps({"body": body, "reply": reply}) + "\n")

            await asyncio.gather(*(work() for _ in range(WORKERS)))
        return good

    with tempfile.TemporaryFile("w") as file:
        return {"good": asyncio.run(all_of_them(file))}


def curator(base_url: str, n: int, words: str, keep: bool) -> dict:
    os.environ |= {"TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_RICH_DISPLAY": "1", "HF_HUB_OFFLINE": "1"}
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    # its token counts need a file from the network, which litellm brings along
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.__file__).parent / "litellm_core_utils/tokenizers")
    from bespokelabs import curator

    class Write(curator.LLM):
        def prompt(self, row):
            return row["messages"]

        def parse(self, row, response):
            return {"text": response}

    limits = {"max_requests_per_minute": 10**6, "max_tokens_per_minute": 10**10, "max_concurrent_requests": WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CURATOR_CACHE_DIR"] = folder
        model = Write(model_name="m", backend="openai", backend_params={"base_url": base_url} | limits)
        answers = model([{"messages": messages} for messages in conversations(words, n)])
        return {"good": sum(bool(row["text"]) for row in answers.dataset)}


def distilabel(base_url: str, n: int, words: str, keep: bool) -> dict:
    os.environ["DISTILABEL_LOG_LEVEL"] = "WARNING"  # else it spends its time on a line in colour for each request
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with tempfile.TemporaryDirectory() as folder:
        with Pipeline(name="bench", cache_dir=folder) as pipeline:
            rows = [{"instruction": messages[0]["content"]} for messages in conversations(words, n)]
            load = LoadDataFromDicts(data=rows, batch_size=WORKERS)
            llm = OpenAILLM(model="m", base_url=base_url, api_key="sk-bench")
            load >> TextGeneration(llm=llm, input_batch_size=WORKERS)
        done = pipeline.run(use_cache=False)
        return {"good": sum(bool(row["generation"]) for row in done["default"]["train"])}


def imported(base_url: str, n: int, words: str, keep: bool) -> dict:
    import openai

    return {"good": 0, "version": openai.__version__}


KINDS = {
    "engine": engine,
    "plain": plain,
    "lean": lean,
    "curator": curator,
    "distilabel": distilabel,
    "import": imported,
}


def main() -> None:
    kind, base_url, n, path = sys.argv[1:5]
    words = Path(path).read_text()
    began = time.monotonic()
    found = KINDS[kind](base_url, int(n), words, keep="--count" not in sys.argv)
    print(json.dumps(found | {
        "kind": kind, "n": int(n), "wall_s": time.monotonic() - began, "cpu_s": cpu_s(), "peak_mb": peak_mb(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
