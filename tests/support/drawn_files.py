"""Query files as people have them, drawn by a seed: encodings, separators, headers, scripts, sizes, packing, damage."""

import csv
import gzip
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

TEXTS = (
    "a red fox in snow", "a café at night, in the rain", 'a sign that says "open"', '"hello" says a parrot',
    "5 o'clock; tea",
    "a | b", "a dog -ar 16:9", "=SUM(A1)", "собака бежит по траве", "黄昏时分，一只狗在海滩上奔跑", "犬が走る",
    "개가 달린다",
    "สุนัขวิ่งบนชายหาด", "كلب يركض", "ໝາສີທອງ", "ឆ្កែរត់", "pes běží po trávě", "🐕 on the moon 👩‍🚀",
    "“quoted” – dash",
    "a dog & a cat", "a dog &amp; a cat", "#1 dog, 100 %", "null", "12345", "نمی‌خواهم", "cafe\u0301", "a + b = c",
    "portrait of a ((wise)) wizard, [oil], <lora:x:0.8>", "\\n is two signs", "x" * 5000, "a dog " * 500,
)  # fmt: skip
LINES = ("a dog\nruns", "a dog\r\nruns", "a dog\trun")
"""only where a format can hold them"""
GOOD_HEADERS = ("prompt", "Prompt", " PROMPT ", "query", "Query", "text", "TEXT", "prompt\u00a0", "prompt\u200b")
BAD_HEADERS = ("caption", "prompts", "user prompt", "words", "promt")
EXTRA = ("id", "seed", "notes", "width", "image name", "Größe", "timestamp")
SCORES = ("prompt_nsfw", "toxicity", "Prompt NSFW", " unsafe_score ", "Sexual_Explicit")
ENCODINGS = (
    "utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1",
    "cp1251", "koi8-r", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "iso-2022-jp", "iso-2022-kr", "hz", "utf-7",
    "mac-roman", "cp437", "cp1250", "tis-620",
)  # fmt: skip


@dataclass
class Drawn:
    """A file's name and bytes, params that go with it, and what is right.

    texts: what its rows say, scores beside them. `must`: read (it is sound), refuse, or either (it is odd, and may be
    refused; read it is read right).
    """

    name: str
    content: bytes
    texts: list[str]
    must: str
    scores: list[float | None] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)


def draw_file(seed: int) -> Drawn:
    """Return the file of a seed."""
    random = Random(seed)
    kind = random.choice(("csv", "csv", "csv", "tsv", "txt", "txt", "jsonl", "json", "parquet", "xlsx", "odd"))
    if kind == "odd":
        return draw_odd(random)
    count = random.choice((1, 2, 3, 5, 8, 300))
    texts = [random.choice(TEXTS) for _ in range(count)]
    if kind in ("jsonl", "json", "parquet") or (kind == "csv" and random.random() < 0.3):
        texts[0] = random.choice(LINES)
    drawn = {"csv": draw_table, "tsv": draw_table, "txt": draw_text, "jsonl": draw_json, "json": draw_json}.get(
        kind, draw_columns
    )(random, kind, texts)
    return pack(random, drawn) if kind in ("csv", "tsv", "txt", "jsonl", "json") else damage(random, drawn)


def draw_header(random: Random) -> tuple[list[str], int, int | None, str, dict[str, Any]]:
    """Return column names, the place of the query and of a score, what must happen, and params that go with it."""
    names = random.sample(EXTRA, random.randrange(4))
    place = random.randrange(len(names) + 1)
    fate = random.random()
    must, params = "read", {}
    if fate < 0.1:
        names.insert(place, random.choice(BAD_HEADERS))
        must = "refuse"
        if random.random() < 0.5:
            must, params = "read", {"query_column": names[place].upper()}
    else:
        names.insert(place, random.choice(GOOD_HEADERS))
    if fate > 0.93:  # two columns could be meant
        other = random.choice([name for name in ("prompt", "query", "text") if name not in names[place].casefold()])
        names.append(other)
        must = "refuse"
    score = None
    if random.random() < 0.3:
        score = len(names)
        names.append(random.choice(SCORES))
    return names, place, score, must, params


def draw_table(random: Random, kind: str, texts: list[str]) -> Drawn:
    names, place, score, must, params = draw_header(random)
    delimiter = "\t" if kind == "tsv" else random.choice((",", ",", ";", "\t", "|"))
    if len(names) == 1:  # no separator is to be seen: rows with a comma need quotes
        delimiter = ","
    scores: list[float | None] = [None] * len(texts)
    rows = []
    for number, text in enumerate(texts):
        notes = random.choice(("a, b", "c; d", ""))
        row = [notes if name == "notes" else str(random.randrange(10**6)) for name in names]
        row[place] = text
        if score is not None:
            scores[number] = round(random.random(), 3)
            row[score] = str(scores[number])
            if delimiter == ";" and random.random() < 0.3:
                row[score] = row[score].replace(".", ",")
        rows.append(row)
    file = io.StringIO(newline="")
    quoting = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    ending = random.choice(("\n", "\r\n"))
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=ending).writerows([names, *rows])
    content = file.getvalue()
    if random.random() < 0.1:
        content = f"sep={delimiter}{ending}{content}"
    elif random.random() < 0.05:
        content = ending + content
    return encode(random, Drawn(f"q.{kind}", content.encode(), texts, must, scores, params))


def draw_text(random: Random, kind: str, texts: list[str]) -> Drawn:
    ending = random.choice(("\n", "\r\n", "\r"))
    content = ending.join(texts) + random.choice(("", ending, ending * 3))
    return encode(random, Drawn("q.txt", content.encode(), texts, "read"))


def draw_json(random: Random, kind: str, texts: list[str]) -> Drawn:
    names, place, score, must, params = draw_header(random)
    if random.random() < 0.3:  # bare strings
        records: list[Any] = list(texts)
        scores: list[float | None] = [None] * len(texts)
        must, params = "read", {}
    else:
        scores = [None if score is None else round(random.random(), 3) for _ in texts]
        records = [dict.fromkeys(names, 1) | {names[place]: text} for text in texts]
        for record, value in zip(records, scores, strict=True):
            if score is not None:
                record[names[score]] = value
        records = [respell(random, record) for record in records]
    ascii_only = random.random() < 0.5
    if kind == "json":
        content = json.dumps(records, ensure_ascii=ascii_only, indent=random.choice((None, 2)))
    else:
        content = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    ending = random.choice(("jsonl", "ndjson")) if kind == "jsonl" else kind
    return encode(random, Drawn(f"q.{ending}", content.encode(), texts, must, scores, params))


def respell(random: Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record at times with its keys in another case and order: objects of JSON need not be alike."""
    if random.random() < 0.7:
        return record
    items = [(random.choice((key, key.upper(), f" {key.lower()} ")), value) for key, value in record.items()]
    random.shuffle(items)
    return dict(items)


def draw_columns(random: Random, kind: str, texts: list[str]) -> Drawn:
    """Return a Parquet or Excel file."""
    names, place, score, must, params = draw_header(random)
    scores = [None if score is None else round(random.random(), 3) for _ in texts]
    columns: list[list[Any]] = [[1] * len(texts) for _ in names]
    columns[place] = list(texts)
    if score is not None:
        columns[score] = list(scores)
    file = io.BytesIO()
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table([pa.array(column) for column in columns], names=names), file)
    else:
        import openpyxl

        book = openpyxl.Workbook()
        sheet = book.active
        texts[:] = [
            text.replace("=SUM", "SUM").replace("\r\n", "\n") for text in texts
        ]  # a formula is none of its text
        columns[place] = list(texts)
        for row in [names, *zip(*columns, strict=True)]:
            sheet.append(list(row))
        book.save(file)
    return Drawn(f"q.{kind}", file.getvalue(), texts, must, scores, params)


def encode(random: Random, drawn: Drawn) -> Drawn:
    """Return the file in another encoding where its text has one there; such a file may be refused."""
    encoding = random.choice(ENCODINGS)
    if encoding == "utf-7" and b"+" in drawn.content:
        return drawn  # it writes +- for it, which may as well be what somebody wrote
    try:
        content = drawn.content.decode().encode(encoding)
    except UnicodeError:
        return drawn
    if encoding.startswith("utf-8") or content == drawn.content:
        if random.random() < 0.05:
            content = "\ufeff\ufeff".encode() + drawn.content
            drawn.must = "either"
    else:
        drawn.must = "either"
    drawn.content = content
    return drawn


def pack(random: Random, drawn: Drawn) -> Drawn:
    """Return the file packed by gzip under the name for it, at times under a wrong one, or cut."""
    if random.random() > 0.15:
        return drawn
    drawn.content = gzip.compress(drawn.content)
    fate = random.random()
    if fate < 0.5:
        drawn.name += ".gz"
    if fate >= 0.5 or fate < 0.1:
        drawn.must = "refuse"
        drawn.content = drawn.content[: -random.randrange(5, 12)] if fate < 0.1 else drawn.content
    return drawn


def damage(random: Random, drawn: Drawn) -> Drawn:
    if random.random() < 0.1:
        drawn.content = drawn.content[: int(len(drawn.content) * random.uniform(0.1, 0.95))]
        drawn.must = "refuse"
    return drawn


def draw_odd(random: Random) -> Drawn:
    """Return a file that is none of queries: it must be refused."""
    words = "a red fox,1\na blue fox,2\n"
    name, content = random.choice((
        ("q.csv", b""), ("q.txt", b""), ("q.csv", b"prompt,id\n"), ("q.jsonl", b"\n\n"), ("q.json", b"[]"),
        ("q.csv", words.encode()), ("q.csv", b'prompt,id\n"a fox,1\na dog,2\n'), ("q.csv", b'prompt\n"a "fox" runs"\n'),
        ("q.csv", b"prompt,id\ra fox,1\r"), ("q.csv", b"<!DOCTYPE html>\n<html><body>404</body></html>"),
        ("q.txt", b"<html>\n<body>404</body></html>"), ("q.txt", b'{"prompt": "a fox"}\n'), ("q.txt",
        b"prompt,id\na fox,1\n"),
        ("q.txt", b'["a fox",\n"a dog"]'), ("q.csv", b"prompt,prompt\na,b\n"), ("q.csv", b"prompt;id,x\na;b,c\n"),
        ("q.json", b'{"prompt": ["a fox"]}'), ("q.json", b'["a fox"'), ("q.json", b'{"prompt": "a"}\n{"prompt": "b"}'),
        ("q.jsonl", b'{"prompt": "a", "prompt": "b"}\n'), ("q.jsonl", b'{"prompt": "a"'), ("q.jsonl", b"[" * 99_999),
        ("q.jsonl", b'{"prompt": "a", "n": ' + b"1" * 5000 + b"}"), ("q.jsonl", b'{"messages": []}\n'),
        ("q.parquet", b"PAR1"), ("q.parquet", b"prompt\na fox\n"), ("q.xlsx", b"PK\x03\x04abc"), ("q.xls",
        b"\xd0\xcf\x11\xe0"),
        ("q.csv", b"PK\x03\x04abc"), ("q.csv", b"BZh91AY"), ("q.txt", b"%PDF-1.7"), ("q.zip", b"PK\x03\x04"), ("q",
        b"a fox"),
        ("q.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"), ("q.txt",
        random.randbytes(400)),
        ("q.csv", random.randbytes(400)), ("q.parquet", random.randbytes(400)), ("q.txt.gz", b"a fox\n"),
    ))  # fmt: skip
    return Drawn(name, content, [], "refuse")


def write_drawn(folder: Path, drawn: Drawn) -> Path:
    path = folder / drawn.name
    path.write_bytes(drawn.content)
    return path
