"""L1. What is not the template is text: a document that spells `<|im_end|>` does not end the user's turn.

A tokenizer turns the spelling of each of its special tokens into that token, wherever it stands. In what people and
models wrote it is spelled out instead, so that neither a prompt can be broken out of nor an end token be learnt in
mid-text. What a tokenizer lists as added but not as special (say `<think>` in Qwen 3) is text by its own word, and
stays one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from selfedit.errors import SelfeditError

Span = tuple[int, int]
"""A place [start, stop) in a text, in characters."""


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str, is_begun: bool) -> list[int]:
    """The ids of a text that holds no template: no special token but, where it begins a sequence, those that the
    tokenizer puts there itself."""
    given = tokenizer(text, add_special_tokens=not is_begun, split_special_tokens=True)
    return list(given.input_ids)


def template_ids(tokenizer: PreTrainedTokenizerBase, text: str, contents: Sequence[Span]) -> list[int]:
    """The ids of a rendered template, whose special tokens are tokens everywhere but in what was put into it.

    Args:
        tokenizer: a tokenizer.
        text: what the template rendered.
        contents: where in it lies what was put in.

    Raises:
        SelfeditError: a special token is spelled in the contents, and this tokenizer does not say where its tokens lie.
    """
    if not any(has_special(tokenizer, text[start:stop]) for start, stop in contents):
        return list(tokenizer(text, add_special_tokens=False).input_ids)
    if not tokenizer.is_fast:
        raise SelfeditError("a text spells one of the model's special tokens, and its tokenizer cannot tell them apart")
    given = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    special, ids = set(_special(tokenizer).values()), list[int]()
    for token, (start, stop) in zip(given.input_ids, given.offset_mapping, strict=True):
        if token in special and any(first <= start and stop <= last for first, last in contents):
            ids += text_ids(tokenizer, text[start:stop], is_begun=True)
        else:
            ids.append(token)
    return ids


def has_special(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a special token is spelled in it."""
    return any(spelling in text for spelling in _special(tokenizer))


@lru_cache(maxsize=8)
def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
