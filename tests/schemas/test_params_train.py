import pytest

from schemas.params_train import SftParams


def test_rows_without_padding_are_never_cut(laptop):
    values = laptop.sft.model_dump(mode="json")
    with pytest.raises(ValueError, match="padding_free cannot truncate: set long_rows to drop or refuse"):
        SftParams.model_validate(values | {"padding_free": True, "long_rows": "truncate"})
    assert SftParams.model_validate(values | {"padding_free": True, "long_rows": "refuse"}).padding_free
