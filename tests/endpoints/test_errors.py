"""What an endpoint says of an error is read whatever it is made of, and how long it asks to wait."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from selfedit.endpoints.errors import read_wait, status_fault
from selfedit.endpoints.replies import Reply, read_reply

ODD = [None, 5, 0.5, True, "", "x", [], [5], [None], {}, {"x": 5}, [{"loc": 5}], {"loc": {"x": 5}}]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None), ("", None), ("nan", None), ("inf", None)],
)
def test_a_retry_after_header_is_read_where_it_can_be(text: str | None, seconds: float | None) -> None:
    assert read_wait(text) == seconds


def test_a_retry_after_header_may_be_a_date() -> None:
    assert read_wait(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert read_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


@pytest.mark.parametrize("field", ["detail", "loc", "param", "code", "error", "message", "msg"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_error_is_read_whatever_its_parts_are(field: str, odd: object) -> None:
    for body in (odd, {field: odd}, {"detail": {field: odd}}, {"detail": [{field: odd}]}, {"error": {field: odd}}):
        for status in (400, 401, 422, 429, 500):
            assert status_fault(status, body, str).reason.startswith(f"HTTP {status}")


@pytest.mark.parametrize("depth", [100, 1500])
def test_no_depth_breaks_the_reading_of_a_response(depth: int) -> None:
    body: object = "x"
    for _ in range(depth):
        body = {"error": [body]}
    assert [status_fault(status, body, str).reason for status in (422, 500)] == ["HTTP 422", "HTTP 500"]
    content = "[" * depth + '"x"' + "]" * depth
    found = read_reply(f'{{"choices": [{{"message": {{"content": {content}}}}}]}}')
    assert (
        found.failure == "the reply is empty" if isinstance(found, Reply) else "not a chat completion" in found.reason
    )


def test_a_parameter_is_named_in_its_place_alone() -> None:
    assert status_fault(422, {"detail": [{"loc": ["body", 0, "top_p"]}, {"loc": 5}]}, str).named == ("body", "top_p")
    assert status_fault(422, {"detail": [{"loc": "body"}]}, str).named == ()
