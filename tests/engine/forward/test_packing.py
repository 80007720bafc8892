"""How sequences are cut and laid side by side: what shares a block, and what goes alone."""

from __future__ import annotations

import pytest
import torch

from selfedit.engine.forward.packing import (
    MAX_PADDING,
    Block,
    Segment,
    Tokens,
    batches_of,
    block_of,
    divide,
    pack,
    row_segments,
    split_to_context,
)

pytestmark = pytest.mark.model
CPU = torch.device("cpu")


def side_by_side(lengths: dict[int, int], start: int = 0) -> list[Segment]:
    """A segment for each slot, of this length."""
    found = []
    for slot, length in sorted(lengths.items()):
        found.append(Segment(slot, start, start + length))
        start += length
    return found


def block(segments: list[Segment], scales: list[float]) -> Block:
    return block_of(segments, scales, CPU, torch.float64)


PADDING = MAX_PADDING["cpu"]
MIXES = {
    "equal": {0: 4, 1: 4, 2: 4},
    "unequal": {0: 3, 1: 5, 2: 1},
    "empty slots between": {1: 5, 2: 4, 4: 5, 5: 6},
    "one very long": {0: 3, 1: 40, 2: 4, 3: 3},
    "the first very long": {0: 40, 1: 3, 2: 4},
    "the last very long": {2: 4, 5: 3, 6: 40},
    "two very long": {0: 50, 1: 2, 2: 3, 3: 60, 4: 2},
    "lonely": {3: 7},
    "far apart": {0: 3, 9: 3},
}


@pytest.mark.parametrize("lengths", MIXES.values(), ids=MIXES)
def test_every_segment_either_shares_the_block_or_goes_alone_and_the_padding_is_bounded(
    lengths: dict[int, int],
) -> None:
    segments = side_by_side(lengths)
    shared, alone = divide(segments, PADDING)
    assert sorted([*shared, *alone], key=lambda s: s.start) == segments
    assert shared == sorted(shared, key=lambda s: s.start) and alone == sorted(alone, key=lambda s: s.start)
    assert len(shared) != 1
    if shared:
        made = block(shared, [1.0] * 10)
        n_slots = made.slots.stop - made.slots.start
        assert n_slots * made.width <= PADDING * sum(s.stop - s.start for s in shared)


def test_a_very_long_segment_goes_alone_and_the_others_share() -> None:
    shared, alone = divide(side_by_side(MIXES["one very long"]), PADDING)
    assert [s.slot for s in alone] == [1] and [s.slot for s in shared] == [0, 2, 3]


def test_nothing_shares_where_there_is_nothing() -> None:
    assert divide([], PADDING) == ([], [])


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("name", [name for name, mix in MIXES.items() if divide(side_by_side(mix), PADDING)[0]])
def test_what_is_taken_into_a_block_is_given_back_to_the_same_tokens(name: str, start: int) -> None:
    segments = side_by_side(MIXES[name], start)
    shared = divide(segments, PADDING)[0]
    scales = [0.5 + slot for slot in range(10)]
    made = block(shared, scales)
    x = torch.randn(segments[-1].stop + 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.ones_like(x)
    made.give(y, made.take(x) * made.factor)
    wanted = torch.ones_like(x)
    for s in shared:
        wanted[s.start : s.stop] += scales[s.slot] * x[s.start : s.stop]
    torch.testing.assert_close(y, wanted)
    assert made.factor.count_nonzero() == sum(s.stop - s.start for s in shared)


def test_each_slot_of_a_block_holds_its_own_tokens_in_order() -> None:
    made = block(side_by_side({1: 2, 3: 3}, start=4), [1.0, 2.0, 3.0, 4.0])
    x = torch.arange(9.0)[:, None]
    held = torch.where(made.factor != 0, made.take(x), -1.0)[..., 0].tolist()
    assert held == [[4, 5, -1], [-1, -1, -1], [6, 7, 8]]
    assert made.slots == slice(1, 4)
    assert made.factor[:, 0, 0].tolist() == [2.0, 0.0, 4.0]


def test_a_slot_of_scale_zero_changes_nothing_and_its_neighbours_keep_theirs() -> None:
    shared = side_by_side({0: 3, 1: 3})
    made = block(shared, [0.0, 2.0])
    x, y = torch.ones(6, 1, dtype=torch.float64), torch.zeros(6, 1, dtype=torch.float64)
    made.give(y, made.take(x) * made.factor)
    assert y[:, 0].tolist() == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("lengths", "indices", "wanted"),
    [
        ((3, 3, 3, 3), (0, 1, 2, 3), [[0, 1], [2, 3]]),
        ((3, 9, 3), (0, 1, 2), [[0], [1], [2]]),
        ((9, 1, 5), (2, 1, 0), [[2, 1], [0]]),
        ((6, 1), (0, 1), [[0], [1]]),
        ((1, 2), (), []),
    ],
    ids=["even", "one too long", "in the order asked for", "just full", "none"],
)
def test_batches_hold_at_most_so_many_tokens_and_a_longer_sequence_goes_alone(lengths, indices, wanted) -> None:
    some = [Tokens(tuple(range(n)), 1) for n in lengths]
    assert list(batches_of(some, indices, 6)) == wanted


def test_a_pack_orders_by_slot_and_remembers_whose_tokens_are_whose() -> None:
    some = [Tokens((1, 2, 3), 1), Tokens((4, 5), 1), Tokens((6, 7, 8, 9), 3), Tokens((10, 11), 2)]
    found = pack(some, [2, -1, 0, 2], CPU)
    assert found.ids[0].tolist() == [4, 5, 6, 7, 8, 9, 1, 2, 3, 10, 11]
    assert found.positions[0].tolist() == [0, 1, 0, 1, 2, 3, 0, 1, 2, 0, 1]
    assert found.owners == (1, 2, 0, 3) and found.lengths == (2, 4, 3, 2)
    assert found.segments == (Segment(0, 2, 6), Segment(2, 6, 11))
    assert found.loss_counts == (1, 1, 2, 0)
    assert found.targets.tolist() == [5, 9, 2, 3]
    assert found.ids[0][found.loss_positions].tolist() == [4, 8, 1, 2]


def test_neighbouring_rows_of_one_adapter_are_one_segment_and_rows_without_one_are_none() -> None:
    assert row_segments([-1, -1, 0, 0, 3]) == (Segment(0, 2, 4), Segment(3, 4, 5))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 22, 23, 100])
def test_windows_of_a_long_text_give_every_token_but_the_first_its_loss_once(n: int) -> None:
    windows = split_to_context(Tokens(tuple(range(n)), 1), 8)
    assert all(len(window.ids) <= 8 for window in windows)
    assert [token for window in windows for token in window.ids[window.loss_from :]] == list(range(1, n))
