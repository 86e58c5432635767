import pytest

from pipeline.runtime.io import DataError
from train.global_batch import split_global_batch


@pytest.fixture(scope="module")
def section(laptop):
    return lambda **values: laptop.sft.model_copy(update=values)


@pytest.mark.parametrize(
    "wanted, micro, processes, given",
    [(16, None, 1, (16, 1)), (64, 2, 8, (2, 4)), (16, 2, 8, (2, 1)), (64, None, 8, (8, 1)), (6, 3, 1, (3, 2))],
)
def test_the_product_is_exactly_the_global_batch(section, wanted, micro, processes, given):
    params = section(global_batch_size=wanted, per_device_train_batch_size=micro)
    assert split_global_batch(params, processes) == given
    assert processes * given[0] * given[1] == wanted


@pytest.mark.parametrize(
    "wanted, micro, processes, message",
    [
        (16, None, 3, "16 / 3 leaves 1; ask for 15 or 18"),
        (4, None, 8, "4 / 8 leaves 4; ask for 8$"),
        (16, 3, 1, "1 processes x per_device_train_batch_size 3 = 3, and 16 is no multiple"),
        (16, 4, 8, "8 processes x per_device_train_batch_size 4 = 32, and 16 is no multiple"),
    ],
)
def test_a_global_batch_that_cannot_be_had_is_refused_with_the_arithmetic(section, wanted, micro, processes, message):
    with pytest.raises(DataError, match=message):
        split_global_batch(section(global_batch_size=wanted, per_device_train_batch_size=micro), processes)
