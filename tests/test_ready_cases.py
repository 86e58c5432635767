"""Inputs that were once misread, each with the right answer: ready sets and query files as people bring them."""

import json

import pytest
from click.testing import CliRunner

from pipeline.curation.filters import filter_rows
from pipeline.curation.ready_queries import read_ready_answer
from pipeline.curation.rules import check_readable
from pipeline.curation.sources import join_frames, read_frames
from pipeline.runtime.io import DataError
from pipeline.text.preference import drop_undecided
from pipeline.text.ready_sets import read_ready_dpo, read_ready_sft
from schemas.base import Dropped, content_id
from tests.support.ready_files import INSTRUCTION, assistant, user, write_ready


def read_sft(path) -> list[tuple[str, str]]:
    return [(row.query, row.prompt) for row in read_ready_sft(str(path), False, read_ready_answer).rows]


def read_dpo(path, laptop) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the pairs that prefer something, and the reasons of the others."""
    items = list(drop_undecided(read_ready_dpo(str(path), laptop.dpo, False, read_ready_answer).rows))
    kept = [item for item in items if not isinstance(item, Dropped)]
    return [(row.query, row.chosen, row.rejected) for row in kept], [
        item.reason for item in items if isinstance(item, Dropped)
    ]


def filter_file(path, laptop):
    """Return (index of each row that passed the rules, the kept rows among those, the sources' rows)."""
    params = laptop.queries.model_copy(update={"source": "file", "path": str(path)})
    frame = join_frames(check_readable(raw, params) for raw in read_frames(params))
    filtered = filter_rows(frame, params)
    return list(filtered.passed), list(filtered.witnesses.kept), frame


def chats(*couples: tuple[str, str]) -> list[dict]:
    return [{"messages": [user(INSTRUCTION.format(x)), assistant(p)]} for x, p in couples]


def test_quotes_leave_as_a_pair_or_not_at_all(tmp_path):
    typed = ['a door that says "push"', '"stop" says a nurse to a thief', '"a dog on grass"', "'tis a dog's life"]
    path = write_ready(tmp_path, "a.json", chats(*((text, "P.") for text in typed)))
    right = [typed[0], typed[1], "a dog on grass", typed[3]]
    assert [row.query for row in read_ready_sft(path, False, read_ready_answer).rows] == right
    assert [row.query_id for row in read_ready_sft(path, False, read_ready_answer).rows] == [
        content_id(text) for text in right
    ]


def test_a_file_with_a_bom_or_half_a_character_is_read_as_queries_reads_it(tmp_path, laptop):
    records = '\ufeff{"query": "a hen \\ud83d in hay", "prompt": "A hen \\ud83d."}\n'
    for name in ("a.jsonl", "q.jsonl"):
        (tmp_path / name).write_text(records.replace('"prompt"', '"p"') if name == "q.jsonl" else records)
    assert read_sft(tmp_path / "a.jsonl") == [("a hen \ufffd in hay", "A hen \ufffd.")]
    params = laptop.queries.model_copy(update={"source": "file", "path": str(tmp_path / "q.jsonl")})
    assert join_frames(read_frames(params))["text"].to_list() == ["a hen \ufffd in hay"]


LAO = ("ໝາສີທອງແລ່ນຢູ່ຫາດຊາຍຕອນຕາເວັນຕົກດິນທີ່ສວຍງາມ", "ໝາສີທອງແລ່ນຢູ່ຫາດຊາຍຕອນຕາເວັນຕົກດິນທີ່ສວຍງາມຫຼາຍ")
KHMER = ("ឆ្កែពណ៌មាសរត់លើឆ្នេរខ្សាច់នៅពេលថ្ងៃលិចដ៏ស្រស់ស្អាត", "ឆ្កែពណ៌មាសរត់លើឆ្នេរខ្សាច់នៅពេលថ្ងៃលិចដ៏ស្រស់ស្អាតណាស់")
JAPANESE = ("夕暮れの海辺を走る金色の犬と白い猫", "夕暮れの海辺を走る金色の犬と白い猫たち")


@pytest.mark.parametrize("pair", [LAO, KHMER, JAPANESE])
def test_scripts_without_spaces_are_kept_and_found_similar(tmp_path, laptop, pair):
    (tmp_path / "a.txt").write_text("\n".join([*pair, "a red boat on a quiet lake"]) + "\n", encoding="utf-8")
    passed, kept, _ = filter_file(tmp_path / "a.txt", laptop)
    assert passed == [0, 1, 2] and kept == [True, False, True]


DOG = ("a dog on grass", "A dog runs.")


def test_each_ready_d_sft_of_the_cases_is_read_right_or_refused(cases):
    assert read_sft(cases / "01-ready-quoted-end.json") == [
        ('a neon sign that says "open"', "A neon sign glows."),
        ('"hello" says a parrot to a pirate', "A parrot speaks."),
    ]
    with pytest.raises(DataError, match="record 1: the turns in messages are assistant, user; expected one user turn"):
        read_sft(cases / "04-sft-roles-reversed.jsonl")
    assert read_sft(cases / "05-sft-half-character.jsonl") == [("a dog on grass \ufffd", "A dog runs \ufffd.")]
    assert read_sft(cases / "06-sft-bom.jsonl") == [("a dog on grass", "A dog runs over the grass.")]
    assert read_sft(cases / "07-sft-parquet.parquet") == [DOG]
    assert read_sft(cases / "07-sft-published-shape.jsonl") == [DOG]


def test_each_ready_d_dpo_of_the_cases_is_read_right_or_refused(cases, laptop):
    pair = (*DOG, "dog")
    assert read_dpo(cases / "02-dpo-system-turn.json", laptop) == ([pair], [])
    assert read_dpo(cases / "18-dpo-equal-sides.jsonl", laptop) == ([], ["no_preference", "no_preference"])
    assert read_dpo(cases / "19-dpo-same-pair-twice.jsonl", laptop) == ([pair], ["duplicate"])
    assert read_dpo(cases / "20-dpo-scores-contradict.jsonl", laptop) == ([], ["no_preference"])
    assert read_dpo(cases / "21-dpo-source-column.jsonl", laptop) == ([pair], [])


def test_each_query_file_of_the_cases_is_read_right_or_refused(cases, laptop):
    passed, kept, _ = filter_file(cases / "15-scripts-without-spaces.txt", laptop)
    assert passed == [0, 1, 2, 3] and kept == [True, False, True, True]
    *_, frame = filter_file(cases / "16-diffusiondb.csv", laptop)
    assert frame["unsafe_score"].to_list() == [0.02, 0.98, 0.01, 0.01]
    with pytest.raises(DataError, match="windows-1252"):
        filter_file(cases / "17-cp1252.csv", laptop)


def test_the_statement_of_the_cases_shows_a_time(cases, tmp_path, monkeypatch, root):
    from tests.support.small_project import small_project
    from vpo.sql import main

    monkeypatch.chdir(small_project(tmp_path))
    done = CliRunner().invoke(main, [(cases / "22-timestamptz.sql").read_text(), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)[0]["t"].startswith("20")
