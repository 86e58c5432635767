import pytest

from pipeline.backends.policy.slots import Slots, whole


@pytest.mark.parametrize(("places", "block", "rounded"), [(1, 64, 64), (64, 64, 64), (65, 64, 128), (0, 64, 0)])
def test_places_come_in_whole_blocks(places, block, rounded):
    assert whole(places, block) == rounded


@pytest.mark.slow
def test_a_new_token_lies_at_its_own_place_and_attention_sees_no_further():
    import torch

    slots = Slots(2)
    slots.widen(4)
    read = torch.arange(6.0).reshape(1, 1, 3, 2)
    slots.read(torch.tensor([1]), torch.tensor([0]))
    slots.update(read, read, 0)
    token = torch.full((2, 1, 1, 2), 9.0)
    slots.go_on(torch.arange(2), torch.tensor([0, 3]), shown=4)
    keys, _ = slots.update(token, token, 0)
    assert keys[1, 0].tolist() == [[0, 1], [2, 3], [4, 5], [9, 9]]
    assert keys[0, 0].tolist() == [[9, 9], [0, 0], [0, 0], [0, 0]]


@pytest.mark.slow
def test_room_grows_and_rows_leave_without_moving_a_key():
    import torch

    slots = Slots(2)
    slots.widen(2)
    keys = torch.arange(8.0).reshape(2, 1, 2, 2)
    slots.read(torch.arange(2), torch.arange(2))
    slots.update(keys, keys, 0)
    slots.widen(3)
    assert slots.room == 4 and slots.keys[0][:, :, :2].equal(keys) and not slots.keys[0][:, :, 2:].any()
    slots.keep(torch.tensor([1]))
    assert slots.rows == 1 and slots.keys[0][0, 0, :2].equal(keys[1, 0])
