"""L1. A JSON schema becomes the tokens that may come next, so that even a small model's reply always parses.

The grammar is llguidance's: it walks the tokenizer's vocabulary and the schema together, token by token, and says
which tokens keep the text on its way to a value that the schema allows. White space is at most one space after a
comma or a colon: a model that hesitates cannot fill its length bound with line breaks. Keys come in the schema's order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import embedding

from selfedit.errors import SelfeditError

if TYPE_CHECKING:  # llguidance is imported where the first schema is: who asks for none needs none
    from llguidance import LLMatcher, LLTokenizer

_KEPT = 64
"""Compiled schemas, at most: a server is given ever new ones."""
_SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}


class JsonGrammars:
    """The grammars of one tokenizer, compiled once per schema while that is in use. The tokenizer's table, which takes
    half a second, is made at the first schema.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        vocab_size: V, the width of the model's logits; tokens that the tokenizer does not know are never allowed.
        stop_ids: tokens that end a text; allowed where the text is a whole value. Empty: the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, stop_ids: frozenset[int]) -> None:
        self.tokenizer, self.vocab_size, self.stop_ids = tokenizer, vocab_size, stop_ids
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def start(self, schema: str) -> Follower:
        """A follower at the beginning of a text.

        Args:
            schema: JSON schema, as JSON text of an object.

        Raises:
            SelfeditError: a schema that is no JSON or cannot be followed, a tokenizer without a fast implementation.
        """
        if schema not in self._compiled:
            self._compiled[schema] = self._compile(schema)
        self._compiled.move_to_end(schema)
        while len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return Follower(self._compiled[schema].deep_copy(), self._stops)

    def _compile(self, schema: str) -> LLMatcher:
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_SPACING)
        except ValueError as error:
            raise SelfeditError(f"JSON schema: {_line(error)}") from error
        matcher = LLMatcher(self._table, grammar, log_level=0)
        if matcher.is_error():
            raise SelfeditError(f"JSON schema: {_line(matcher.get_error())}")
        return matcher

    @cached_property
    def _table(self) -> LLTokenizer:
        from llguidance.hf import from_tokenizer

        try:
            return from_tokenizer(self.tokenizer, n_vocab=self._width, eos_token=min(self.stop_ids, default=None))
        except ValueError as error:
            raise SelfeditError(f"a JSON schema cannot be followed with this tokenizer: {_line(error)}") from error

    @cached_property
    def _stops(self) -> np.ndarray:
        """The stop tokens as a packed mask."""
        bits = np.zeros((self._width + 31) // 32 * 32, dtype=np.uint8)
        bits[list(self.stop_ids)] = 1
        return np.packbits(bits, bitorder="little")

    @property
    def _width(self) -> int:
        return max(self.vocab_size, len(self.tokenizer))


class Follower:
    """Where one text stands in its schema's grammar."""

    __slots__ = ("_matcher", "_stops")

    def __init__(self, matcher: LLMatcher, stops: np.ndarray) -> None:
        self._matcher, self._stops = matcher, stops

    def allowed(self) -> np.ndarray:
        """The tokens that may come next, a bit each, the lowest bit of an octet first: uint8 [⌈vocabulary / 32⌉ · 4].

        Stop tokens come where the text is a whole value and nowhere else, also one that the tokenizer takes for text.
        """
        packed = np.empty_like(self._stops)
        self._matcher.unsafe_compute_mask_ptr(packed.ctypes.data, packed.nbytes)
        return packed | self._stops if self.is_complete else packed & ~self._stops

    def advance(self, token: int) -> None:
        """The text goes on with `token`, no stop token. One that was not allowed ends the text, incomplete."""
        self._matcher.consume_token(token)

    @property
    def is_complete(self) -> bool:
        """The text is a whole value, though more may follow: `1` of `12`."""
        return self._matcher.is_accepting()

    @property
    def is_over(self) -> bool:
        """Nothing may follow but a stop token; so too, incomplete, where the grammar outgrew llguidance's limits."""
        return self._matcher.is_stopped()


def forbid(logits: torch.Tensor, followers: Mapping[int, Follower]) -> None:
    """Put −inf in place on what may not come next.

    Args:
        logits: [R, V], of any floating dtype, on any device.
        followers: row → its follower; the other rows stay as they are.
    """
    packed = np.stack([follower.allowed() for follower in followers.values()])
    octets = torch.from_numpy(packed).to(logits.device).int()
    penalty = embedding(octets, _penalties(logits.device, logits.dtype)).flatten(1)[:, : logits.shape[-1]]
    logits.index_add_(0, torch.tensor(list(followers), device=logits.device), penalty)


@cache
def _penalties(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """What the eight tokens of each octet of a packed mask have added to their logits, 0 or −inf: [256, 8]. Looking
    octets up costs a quarter of unpacking bits and filling, and only the packed mask travels to a GPU."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return torch.from_numpy(bits).to(device, dtype).log()


def _line(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
