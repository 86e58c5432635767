"""A thousand odd files of queries, drawn by a seed: each is read right or refused in one line, none is read wrong."""

import csv
import gzip
import io
import json
import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.sources import join_frames, read_frames
from pipeline.runtime.io import DataError

FILES = 1000
TEXTS = (
    "a dog on grass", "two cats; one sleeps, one runs", 'a neon sign that says "open"', "a café in the rain – “wow”",
    "黄昏时分，一只狗在海滩上奔跑", "夕暮れの海辺を走る犬", "สุนัขวิ่งบนชายหาด", "собака бежит по траве",
    "كلب يجري على العشب",
    "ໝາແລ່ນຢູ່ຫາດຊາຍ", "ឆ្កែរត់លើឆ្នេរ", "ခွေးပြေးနေသည်", "🐕 runs \u200dfast", "a | b\tc", "=1+1",
    "x" * 5000, "'quoted'",
    "a line\nand another", "a fox &amp; a hen", "null", "0.5", "NaN", "a \\ backslash", "naïve façade", "  blanks  ",
)  # fmt: skip
HEADERS = ("prompt", "Prompt", " PROMPT ", "query", "Query ", "text", "TEXT")
ODD_HEADERS = ("caption", "promt", "", "prompt_en", "words")
OTHERS = ("id", "uuid", "n", "a;b", "x,y", "image_nsfw", "prompt_nsfw", "Toxicity", "time", "", "tab\there")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "gb18030", "shift_jis",
             "cp1251", "latin-1")  # fmt: skip


def draw_values(dice, name, n):
    if name in ("prompt_nsfw", "Toxicity"):
        return [dice.choice(["0.1", "0.9", "", "high"]) for _ in range(n)]
    return [f"{name[:2]}{i}" for i in range(n)]


def draw_table(dice):
    """Return (names, rows, the texts of the query's column) of a table."""
    n = dice.choice([1, 1, 2, 5, 40])
    header = dice.choice(HEADERS if dice.random() < 0.85 else ODD_HEADERS)
    others = dice.sample(OTHERS, dice.choice([0, 1, 1, 2, 4]))
    texts = [dice.choice(TEXTS) for _ in range(n)]
    columns = [(header, texts), *((name, draw_values(dice, name, n)) for name in others)]
    dice.shuffle(columns)
    names = [name for name, _ in columns]
    return names, list(zip(*(values for _, values in columns), strict=True)), texts


def write_csv(dice, path, names, rows):
    text = io.StringIO()
    quoting = dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    delimiter = dice.choice(",,;;\t|")
    if dice.random() < 0.1:
        text.write(f"sep={delimiter}\r\n")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=dice.choice(["\n", "\r\n"])).writerows(
        [names, *rows]
    )
    return text.getvalue()


def write_lines(dice, path, names, rows):
    records = [dict(zip(names, row, strict=True)) for row in rows]
    ascii_only = dice.random() < 0.5
    if path.name.startswith("whole"):
        return json.dumps(records, ensure_ascii=ascii_only, indent=dice.choice([None, 2]))
    return "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)


def draw_file(dice, folder, number):
    """Write a file; return its path and the texts that it means."""
    names, rows, texts = draw_table(dice)
    kind = dice.choice(["csv", "csv", "csv", "tsv", "jsonl", "json", "txt", "parquet"])
    path = folder / f"{'whole' if kind == 'json' else 'rows'}{number}.{kind}"
    if kind == "parquet":
        columns = [pa.array(values) for values in zip(*rows, strict=True)]
        pq.write_table(pa.Table.from_arrays(columns, names=names), path)
        content = path.read_bytes()
    else:
        if kind == "txt":
            texts = [" ".join(text.split("\n")) for text in texts]
            text = dice.choice(["\n", "\r\n", "\r"]).join(texts)
        else:
            text = (write_csv if kind in ("csv", "tsv") else write_lines)(dice, path, names, rows)
        content = text.encode(dice.choice(ENCODINGS), "replace" if dice.random() < 0.5 else "xmlcharrefreplace")
        if "?" in content.decode("latin-1") or "&#" in content.decode("latin-1"):  # a sign that the encoding lacks
            content = text.encode()
        if dice.random() < 0.15:
            content = gzip.compress(content)
            path = path.with_name(path.name + ".gz") if dice.random() < 0.8 else path
    fate = dice.random()
    if fate < 0.05:
        content = content[: dice.randrange(len(content) + 1)]  # cut on its way: what is left may be a whole file
        texts = None
    elif fate < 0.08:
        path = path.with_suffix(dice.choice([".csv", ".json", ".jsonl", ".txt", ".parquet", ".doc", ".xlsx", ".gz"]))
        texts = None if path.suffix == ".txt" else texts  # text under any ending is lines of text
    path.write_bytes(content)
    return path, texts


def test_each_odd_file_is_read_right_or_refused_in_one_line(laptop, tmp_path, capsys):
    dice, outcomes = random.Random(20240607), Counter()
    for number in range(FILES):
        path, texts = draw_file(dice, tmp_path, number)
        params = laptop.queries.model_copy(update={"source": "file", "path": str(path)})
        try:
            rows = join_frames(read_frames(params)).to_dicts()
        except DataError as refused:
            assert "\n" not in refused.message.strip() and len(refused.message) < 1000, refused.message
            outcomes["refused"] += 1
            continue
        if texts is None:
            continue
        assert len(rows) == len(texts), (path.name, rows[:2])
        for row, text in zip(rows, texts, strict=True):
            assert row["fault"] is not None or row["text"] == text, (path.name, row, text)
        outcomes["read"] += 1
        outcomes["rows with a fault"] += sum(row["fault"] is not None for row in rows)
    assert outcomes["read"] > FILES / 3 and outcomes["refused"] > FILES / 10, outcomes
