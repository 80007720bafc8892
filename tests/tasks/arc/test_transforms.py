"""Every published augmentation on a small grid, and views that can be undone."""

from __future__ import annotations

import pytest
from numpy.random import RandomState

from selfedit.tasks.arc.grids import Grid, Pair, Puzzle, read_rows, rows_text
from selfedit.tasks.arc.transforms import SYMMETRIES, View, families, permute_colours, published_colours, views

SMALL = "12\n34\n56"
GOLDEN = {
    "rotate 90": "246\n135",
    "rotate 270": "531\n642",
    "rotate 180": "65\n43\n21",
    "flip up-down": "56\n34\n12",
    "flip left-right": "21\n43\n65",
    "reflect above": "56\n34\n12\n12\n34\n56",
    "reflect left": "2112\n4334\n6556",
    "reflect below": "12\n34\n56\n56\n34\n12",
    "reflect right": "1221\n3443\n5665",
    "transpose": "135\n246",
    "stretch": "1122\n1122\n3344\n3344\n5566\n5566",
    "stretch rows": "12\n12\n34\n34\n56\n56",
    "stretch columns": "1122\n3344\n5566",
    "rotate 90, stretch": "224466\n224466\n113355\n113355",
    "rotate 270, stretch": "553311\n553311\n664422\n664422",
    "rotate 180, stretch": "6655\n6655\n4433\n4433\n2211\n2211",
    "flip up-down, stretch": "5566\n5566\n3344\n3344\n1122\n1122",
    "flip left-right, stretch": "2211\n2211\n4433\n4433\n6655\n6655",
    "transpose, stretch": "113355\n113355\n224466\n224466",
    "repeat below": "12\n34\n56\n12\n34\n56",
    "repeat right": "1212\n3434\n5656",
    "repeat both ways": "1212\n3434\n5656\n1212\n3434\n5656",
}
BY_NAME = {augmenter.name: augmenter for family in families().values() for augmenter in family}


def grid(text: str) -> Grid:
    found = read_rows(text)
    assert found
    return found


def counting(height: int, width: int) -> Grid:
    return tuple(tuple((row * width + column) % 10 for column in range(width)) for row in range(height))


def test_the_families_are_those_published_in_their_order() -> None:
    assert {name: len(family) for name, family in families().items()} == {
        "basic": 11,
        "size": 3,
        "chain": 6,
        "repeat": 3,
    }
    assert [a.name for a in families()["basic"]][:5] == list(GOLDEN)[:5]
    assert set(BY_NAME) == {*GOLDEN, "translate"}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_augmentation_changes_input_and_output_alike(name: str) -> None:
    pair = BY_NAME[name].apply(Pair(grid(SMALL), grid("7")))
    assert rows_text(pair.input) == GOLDEN[name]
    assert set("".join(map(str, pair.output[0]))) == {"7"}


def rolled(one: Grid, rows: int, columns: int) -> Grid:
    height, width = len(one), len(one[0])
    return tuple(tuple(one[(r - rows) % height][(c - columns) % width] for c in range(width)) for r in range(height))


@pytest.mark.parametrize(
    ("side", "of_input", "of_output"), [(3, (0, 1), (0, 1)), (4, (0, 3), (1, 0)), (9, (0, 3), (1, 0))]
)
def test_translation_shifts_every_pair_of_a_size_alike_as_in_the_released_code(
    side: int, of_input: tuple[int, int], of_output: tuple[int, int]
) -> None:
    one = counting(side, side)
    for _ in range(2):
        pair = BY_NAME["translate"].apply(Pair(one, one))
        assert pair == Pair(rolled(one, *of_input), rolled(one, *of_output))


@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_symmetry_is_undone(name: str) -> None:
    view = View(name, (3, 1, 4, 0, 5, 9, 2, 6, 8, 7))
    for one in (grid(SMALL), counting(1, 5), counting(30, 29)):
        assert view.undo(view.turn(one)) == one


def test_the_symmetries_are_eight_different_ones() -> None:
    assert len({View(name).turn(grid(SMALL)) for name in SYMMETRIES}) == 8
    assert rows_text(View("rot90").turn(grid(SMALL))) == GOLDEN["rotate 90"]
    assert rows_text(View("antitranspose").turn(grid(SMALL))) == "642\n531"


def test_a_view_turns_recolours_and_reorders_a_whole_puzzle() -> None:
    puzzle = Puzzle((Pair(((1,),), ((2,),)), Pair(((3, 3),), ((4, 4),))), Pair(((1, 2),), ()))
    seen = View("transpose", (0, 5, 6, 7, 8, 1, 2, 3, 4, 9), (1, 0)).apply(puzzle)
    assert seen == Puzzle((Pair(((7,), (7,)), ((8,), (8,))), Pair(((5,),), ((6,),))), Pair(((5,), (6,)), ()))


def test_views_begin_with_the_puzzle_as_it_is_and_go_through_all_symmetries() -> None:
    found = views(16, 3, seed=1)
    assert found[0] == View(order=(0, 1, 2))
    assert [view.symmetry for view in found] == [*SYMMETRIES] * 2
    assert len(set(found)) == 16 and found == views(16, 3, seed=1) != views(16, 3, seed=2)
    assert all(sorted(view.colours) == list(range(10)) for view in found)
    assert all(view.colours[0] == 0 for view in views(16, 3, 1, is_zero_fixed=True))
    assert any(view.colours[0] for view in found)


def of_colours(n_used: int) -> Puzzle:
    """A puzzle with black and so many other colours."""
    row = (0, *range(1, n_used + 1))
    return Puzzle((Pair((row,), (row,)),), Pair(((0,),), ((0,),)))


@pytest.mark.parametrize("n_used", range(10))
def test_published_colour_permutations_keep_black_and_no_two_colours_become_one(n_used: int) -> None:
    for seed in range(50):
        [demo] = permute_colours(of_colours(n_used), "published", RandomState(seed)).demos
        [row] = demo.input
        assert row[0] == 0 and demo.output == demo.input and len(set(row)) == len(row)
        assert sorted(published_colours([demo.input], RandomState(seed))) == list(range(10))


@pytest.mark.parametrize(
    ("n_used", "on_average"), [(1, 1.0), (4, 4.0), (5, 3.20), (6, 1.60), (7, 0.77), (8, 0.28), (9, 0.0)]
)
def test_as_many_colours_become_unused_ones_as_in_the_released_code(n_used: int, on_average: float) -> None:
    """Its means over 4,000 draws; an unused colour that was given away is given back when its owner is swapped."""
    used = tuple(range(1, n_used + 1))
    draws = RandomState(0)
    tables = [published_colours([(used,)], draws) for _ in range(4000)]
    fresh = [sum(table[colour] > n_used for colour in used) for table in tables]
    assert sum(fresh) / len(fresh) == pytest.approx(on_average, abs=0.04)


def test_published_colours_are_drawn_in_the_released_order() -> None:
    """Worked out by hand from the generator's own draws: unused colours in reverse of their shuffled order to the used
    ones in ascending order, then swaps with the used ones in reverse of theirs."""
    draws, same = RandomState(7), RandomState(7)
    unused = [7, 8, 9]
    same.shuffle(unused)
    order = same.permutation([1, 2, 3, 4, 5, 6]).tolist()
    images = {1: unused[2], 2: unused[1], 3: unused[0]}
    table = published_colours([((1, 2, 3, 4, 5, 6),)], draws)
    partner = order[-1]
    assert (table[4], table[partner]) == (partner, 4)
    swapped = _swapped(order)
    kept = [colour for colour in (1, 2, 3) if table[colour] == images[colour]]
    assert kept == [colour for colour in (1, 2, 3) if colour not in swapped]


def _swapped(order: list[int]) -> set[int]:
    """The partners of 4, 5 and 6, each unless somebody has swapped with it before."""
    found: set[int] = set()
    for colour in (4, 5, 6):
        if colour in found:
            continue
        found.add(order.pop())
        if colour in order:
            order.remove(colour)
    return found


def test_uniform_colours_are_any_permutation_of_all_ten() -> None:
    rows = [permute_colours(of_colours(9), "uniform", RandomState(seed)).demos[0].input[0] for seed in range(200)]
    assert all(sorted(row) == list(range(10)) for row in rows)
    assert {row[0] for row in rows} == set(range(10)), "black too"
