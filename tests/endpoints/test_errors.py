"""How long an endpoint asks to wait."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from selfedit.endpoints.errors import read_wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None), ("", None), ("nan", None), ("inf", None)],
)
def test_a_retry_after_header_is_read_where_it_can_be(text: str | None, seconds: float | None) -> None:
    assert read_wait(text) == seconds


def test_a_retry_after_header_may_be_a_date() -> None:
    assert read_wait(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert read_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
