"""Grids and the two ways of writing them."""

from __future__ import annotations

import numpy as np
import pytest

from selfedit.tasks.arc.grids import Grid, array_text, grid_of, read_array, read_rows, rows_text

GRID: Grid = ((0, 7, 7), (7, 7, 9))


def test_a_grid_is_written_a_character_a_cell_and_read_back() -> None:
    assert rows_text(GRID) == "077\n779"
    assert read_rows(rows_text(GRID)) == GRID


@pytest.mark.parametrize("side", [1, 3, 30])
def test_a_grid_is_written_as_numpy_prints_it_and_read_back(side: int) -> None:
    array = np.arange(side * side).reshape(side, side) % 10
    with np.printoptions(threshold=10**6, linewidth=10**6):
        assert array_text(tuple(map(tuple, array.tolist()))) == str(array)
    assert read_array(str(array).replace("...", "") + "#") == tuple(map(tuple, array.tolist()))


@pytest.mark.parametrize(
    "text", ["", "07a\n777", "07\n777", "0 7\n7 7", "٠٧\n٧٧", "07\n\n77", "0" * 31, "0\n" * 30 + "0"]
)
def test_what_is_no_grid_of_characters_is_refused(text: str) -> None:
    assert read_rows(text) is None


@pytest.mark.parametrize("text", ["", "#", "[[0 7]\n [7]]", "[[0 x]]", "[[0 10]]", "[[-1]]", "nothing here"])
def test_what_is_no_array_is_refused(text: str) -> None:
    assert read_array(text) is None


@pytest.mark.parametrize(
    "value",
    [None, 3, "07", [], [[]], [3], [[0], [0, 1]], [[10]], [[-1]], [[0.0]], [[True]], [["0"]], [[0] * 31], [[0]] * 31],
)
def test_what_is_no_grid_of_colours_is_refused(value: object) -> None:
    assert grid_of(value) is None


def test_lists_of_colours_are_a_grid() -> None:
    assert grid_of([[0, 7, 7], [7, 7, 9]]) == GRID
