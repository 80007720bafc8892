"""How sequences are cut and laid side by side."""

from __future__ import annotations

import pytest

from selfedit.engine.packing import Tokens, split_to_context


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 22, 23, 100])
def test_windows_of_a_long_text_give_every_token_but_the_first_its_loss_once(n: int) -> None:
    windows = split_to_context(Tokens(tuple(range(n)), 1), 8)
    assert all(len(window.ids) <= 8 for window in windows)
    assert [token for window in windows for token in window.ids[window.loss_from :]] == list(range(1, n))
