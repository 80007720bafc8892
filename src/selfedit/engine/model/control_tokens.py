"""L1. What is not the template is text: a document that spells `<|im_end|>` does not end the user's turn.

A tokenizer turns the spelling of each token that was added to its vocabulary into that token, wherever it stands.
Control tokens are those among them that are special, and those that the chat template writes, special or not: some
models mark their turns by `<|User|>` and `<|Assistant|>`, which decoding does not leave out. In what people and models
wrote they are spelled out instead, so that neither a prompt can be broken out of nor an end token be learnt in
mid-text. White space, words and single characters that were added to the vocabulary are text, and stay one token; so
do the marks of thoughts that are not special (`<think>` in Qwen 3), which a policy that thinks learns as it wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from transformers import PreTrainedTokenizerBase

from selfedit.errors import UnfitText
from selfedit.thinking import is_mark

Span = tuple[int, int]
"""A place [start, stop) in a text, in characters."""


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str, is_begun: bool) -> list[int]:
    """The ids of a text that holds no template: no control token but, where it begins a sequence, those that the
    tokenizer puts there itself.

    Raises:
        UnfitText: a control token is spelled in it, and this tokenizer makes it that token in any case.
    """
    if not has_control(tokenizer, text):
        return list(tokenizer(text, add_special_tokens=not is_begun, split_special_tokens=True).input_ids)
    ids = _spelled_out(tokenizer, text, is_begun)
    own = [] if is_begun else list(tokenizer("").input_ids)
    controls = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
    if sum(token in controls for token in ids) > sum(token in controls for token in own):
        raise UnfitText("a text spells one of the model's control tokens, and its tokenizer cannot spell it out")
    return ids


def _spelled_out(tokenizer: PreTrainedTokenizerBase, text: str, is_begun: bool) -> list[int]:
    twin = _twin(tokenizer, str(tokenizer.chat_template))
    if twin is None:
        return list(tokenizer(text, add_special_tokens=not is_begun, split_special_tokens=True).input_ids)
    return list(twin.encode(text, add_special_tokens=not is_begun).ids)


def template_ids(tokenizer: PreTrainedTokenizerBase, text: str, contents: Sequence[Span]) -> list[int]:
    """The ids of a rendered template, whose control tokens are tokens everywhere but in what was put into it.

    Args:
        tokenizer: a tokenizer.
        text: what the template rendered.
        contents: where in it lies what was put in.

    Raises:
        UnfitText: a control token is spelled in the contents, and this tokenizer does not say where its tokens lie.
    """
    if not any(has_control(tokenizer, text[start:stop]) for start, stop in contents):
        return list(tokenizer(text, add_special_tokens=False).input_ids)
    if not tokenizer.is_fast:
        raise UnfitText("a text spells one of the model's control tokens, and its tokenizer cannot tell them apart")
    given = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    controls, ids = set(control_tokens(tokenizer).values()), list[int]()
    for token, span in zip(given.input_ids, given.offset_mapping, strict=True):
        start, stop = _without_blanks(text, span)
        if token in controls and any(first < stop and start < last for first, last in contents):
            ids += text_ids(tokenizer, text[slice(*span)], is_begun=True)
        else:
            ids.append(token)
    return ids


def _without_blanks(text: str, span: Span) -> Span:
    """Where a token itself lies; some take in the white space around them, which may be another's."""
    start, stop = span
    whole = text[start:stop]
    return start + len(whole) - len(whole.lstrip()), stop - len(whole) + len(whole.rstrip())


def has_control(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a control token is spelled in it, as it is or as the tokenizer normalises it (say full-width)."""
    spellings = control_tokens(tokenizer)
    if any(spelling in text for spelling in spellings):
        return True
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normalizer is None:
        return False
    normal = normalizer.normalize_str(text)
    return normal != text and any(normalizer.normalize_str(spelling) in normal for spelling in spellings)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Spelling → id of those that decoding leaves out: named as special, or special in the tokenizer's file."""
    named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return dict(named) | {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Spelling → id."""
    return _controls(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=8)
def _controls(tokenizer: PreTrainedTokenizerBase, _template: str) -> dict[str, int]:
    words = "\0".join(_template_words(tokenizer)) if tokenizer.chat_template else ""
    added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items()}
    return special_tokens(tokenizer) | {
        token: number for token, number in added.items() if _is_like_a_mark(token) and token in words
    }


def _is_like_a_mark(token: str) -> bool:
    return len(token) > 1 and not is_mark(token) and not all(letter.isalnum() or letter.isspace() for letter in token)


def _template_words(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The texts in the chat template, and what it makes of them for each role: `'<|' + role + '|>'`."""
    pieces = Environment().lex(tokenizer.get_chat_template())
    yield from (text for _, kind, text in pieces if kind in ("data", "string"))
    for roles in (("system", "user", "assistant", "user"), ("user", "assistant", "user"), ("user",)):
        turns = [{"role": role, "content": "\ue000"} for role in roles]
        with suppress(Exception):  # a template need not take all of these roles
            yield str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


@lru_cache(maxsize=8)
def _twin(tokenizer: PreTrainedTokenizerBase, _template: str) -> Any:
    """The tokenizer with all control tokens special, so that it can be told to spell them out; None where they are."""
    raw: Any = getattr(tokenizer, "backend_tokenizer", None)
    held = json.loads(raw.to_str()) if raw is not None else {"added_tokens": []}
    controls = control_tokens(tokenizer)
    plain = [token for token in held["added_tokens"] if token["content"] in controls and not token["special"]]
    if raw is None or not plain:
        return None
    for token in plain:
        token["special"] = True
    twin = type(raw).from_str(json.dumps(held))
    twin.encode_special_tokens = True
    return twin
