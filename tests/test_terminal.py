"""Text for terminals: what one would obey is shown, and nothing else is changed."""

from __future__ import annotations

import pytest

from selfedit.terminal import escape_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31mred", "\\x9b31mred"),
        ("over\rwritten", "over\\rwritten"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("half \ud800 pair", "half \\ud800 pair"),
        ("abc\u202edcba", "abc\\u202edcba"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
    assert escape_controls(shown) == shown


@pytest.mark.parametrize(
    "text", ["", "plain", "two\nlines\tand a tab", "日本語 Zürich [/x] \\n", "👩\u200d🔬 न\u200dम", "a\u00adb"]
)
def test_all_other_text_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text
