from pathlib import Path

import pytest

from vpo.fresh import is_other, tables_of


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("select critique from fewshot_sft", {"fewshot_sft"}),
        ("select * from D_DPO join main.d_sft using (query_id)", {"d_dpo", "d_sft"}),
        ("with a as (select * from d_video) select * from a where x in (select y from r.d_text)",
         {"a", "d_video", "r.d_text"}),
        ("select 1 as d_dpo", set()),
        ("selec 1", set()),
    ],
)  # fmt: skip
def test_the_tables_of_a_query_are_read_from_its_syntax(query, tables):
    import duckdb

    assert tables_of(duckdb.connect(":memory:"), query) == tables


def test_a_file_is_another_by_size_or_by_hash(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    same = {"path": "a", "md5": "900150983cd24fb0d6963f7d28e17f72", "size": 3}
    assert not is_other(path, same) and not is_other(path, None)
    assert is_other(path, same | {"size": 4}) and is_other(path, same | {"md5": "0" * 32})
