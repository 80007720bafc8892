"""L1. Texts that are written side by side while others join and leave.

The decoder's own passes, on a cache that grows with what is under way: its rows are as many and as long as the texts in
it want, and it is let go of when the last has left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfedit.engine.forward.attention import KVCache
from selfedit.engine.generate.decoding import Decoder, Request, WrittenRow, start

_STRIDE = 128
"""Tokens by which the cache grows."""


class LiveRows:
    """The texts under way.

    Args:
        decoder: makes the passes.
        most_rows: texts at once.
        most_bytes: of keys and values; a single text may take more.
    """

    def __init__(self, decoder: Decoder, most_rows: int, most_bytes: int) -> None:
        self.decoder, self.most_rows, self.most_bytes = decoder, most_rows, most_bytes
        self.rows: list[WrittenRow] = []
        self.ended: list[WrittenRow] = []
        """Those that ended with their first token."""
        self._cache = KVCache()
        self._token_bytes = 0

    def has_room(self, requests: Sequence[Request]) -> bool:
        """Whether these fit beside what is under way."""
        n = len(self.rows) + len(requests)
        longest = max(map(_length, [*(row.request for row in self.rows), *requests]))
        return n == 1 or (n <= self.most_rows and n * longest * self._token_bytes <= self.most_bytes)

    def join(self, requests: Sequence[tuple[int, Request]]) -> None:
        """Texts join, by their keys, and get their first tokens. Nothing has changed where this raises.

        Raises:
            SelfeditError: a schema that cannot be followed.
        """
        ordered = sorted(requests, key=lambda one: (one[1].slot, one[1].prompt))
        joining = [start(key, request, self.decoder.constraint(request)) for key, request in ordered]
        self._make_room(joining)
        self.rows += self.decoder.admit(joining, self._cache, len(self.rows), {})
        self.ended += [row for row in self.rows if row.is_done]
        self._token_bytes = sum(
            store.shape[1] * store.shape[3] * store.element_size() for store in (*self._cache.keys, *self._cache.values)
        )
        self.arrange()

    def step(self) -> None:
        """One more token for each text that is under way."""
        if self.rows:
            self.decoder.step(self.rows, self._cache)

    def leave(self, keys: Iterable[int]) -> None:
        """These are not wanted any more."""
        gone = set(keys)
        for row in self.rows:
            row.is_done = row.is_done or row.index in gone
        self.arrange()

    def arrange(self) -> None:
        """Those that have ended are dropped, the others ordered by adapter."""
        self.rows = self.decoder.arrange(self.rows, self._cache)
        if not self.rows:
            self._cache = KVCache()

    def _make_room(self, joining: Sequence[WrittenRow]) -> None:
        """A larger cache, where the rows want one; with what it holds."""
        n = len(self.rows) + len(joining)
        longest = max(_length(row.request) for row in (*self.rows, *joining))
        if n <= self._cache.rows and longest <= self._cache.length:
            return
        rows = max(self._cache.rows, min(self.most_rows, 1 << (n - 1).bit_length()), n)
        length = max(self._cache.length, -(-longest // _STRIDE) * _STRIDE)
        larger = KVCache(rows=rows, length=length)
        held, used = len(self.rows), max((row.cached for row in self.rows), default=0)
        for old, new in ((self._cache.keys, larger.keys), (self._cache.values, larger.values)):
            for store in old if held else ():
                wider = store.new_zeros(rows, store.shape[1], length, store.shape[3])
                wider[:held, :, :used] = store[:held, :, :used]
                new.append(wider)
        self._cache = larger


def _length(request: Request) -> int:
    return len(request.prompt) + request.sampling.max_new_tokens
