import pytest

from pipeline.backends.batches import BatchSize, run_batches
from pipeline.runtime.io import DataError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(vpo_home):
    return vpo_home


def fits(most, asked):
    def run(batch):
        asked.append(len(batch))
        if len(batch) > most:
            raise MemoryError
        return [item * 2 for item in batch]

    return run


def test_a_batch_that_does_not_fit_is_halved_and_the_order_stays():
    asked = []
    assert sum(run_batches(range(10), BatchSize(8, "a"), fits(3, asked)), []) == [item * 2 for item in range(10)]
    assert asked == [8, 4, 2, 2, 2, 2, 2]


def test_what_fitted_is_remembered_for_the_same_model_alone():
    list(run_batches(range(8), BatchSize(8, "a"), fits(2, [])))
    assert BatchSize(8, "a").now == 2 and BatchSize(8, "b").now == 8 and BatchSize(4, "a").now == 4


def test_one_item_that_does_not_fit_stops_the_stage():
    with pytest.raises(DataError, match="one item alone does not fit into memory"):
        list(run_batches(range(2), BatchSize(2, "a"), fits(0, [])))


def test_another_fault_is_no_lack_of_memory():
    def run(batch):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(run_batches(range(2), BatchSize(2, "a"), run))
