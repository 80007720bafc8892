"""Tokens become text: special ones are no part of it, but for those by which thoughts are told from what is said."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken

from selfedit.engine.replies import Speaker
from selfedit.thinking import spoken
from tests.support.tiny import tiny_tokenizer

pytestmark = pytest.mark.model


def speaker(*special: str) -> Speaker:
    """One that only puts tokens into words."""
    tokenizer = tiny_tokenizer(chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    nothing: Any = None
    return Speaker(nothing, nothing, tokenizer, nothing, 0)


@pytest.mark.parametrize("marks", [("[THINK]", "[/THINK]"), ("<|channel|>", "<|message|>", "<|start|>")])
def test_special_tokens_that_mark_thoughts_stay_in_a_text(marks: tuple[str, ...]) -> None:
    one = speaker("<|other|>", *marks)
    written = (
        "[THINK]hm[/THINK]yes"
        if "[THINK]" in marks
        else "<|channel|>analysis<|message|>hm<|start|>assistant<|channel|>final<|message|>yes"
    )
    text = one.text(one.tokenizer(f"<|other|>{written}<|end|>").input_ids)
    assert "<|other|>" not in text and "<|end|>" not in text and "hm" in text
    assert spoken(text) == "yes"


def test_without_such_marks_no_special_token_is_part_of_a_text() -> None:
    one = speaker("<|other|>", "<|message_end|>")
    assert one.text(one.tokenizer("a<|other|> b<|message_end|><|end|>").input_ids) == "a b"


@pytest.mark.parametrize("named", [(), ("[THINK]",), ("<|other|>",)])
def test_marks_of_thoughts_stay_where_the_tokenizers_file_alone_calls_them_special(named: tuple[str, ...]) -> None:
    one = speaker(*named)
    added = [AddedToken(token, special=True) for token in ("[THINK]", "[/THINK]", "<|other|>")]
    one.tokenizer.add_tokens(added, special_tokens=True)
    text = one.text(one.tokenizer("<|other|>[THINK]hm[/THINK]yes<|end|>").input_ids)
    assert text == "[THINK]hm[/THINK]yes"
    assert spoken(text) == "yes"
