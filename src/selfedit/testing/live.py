"""L4. A writer of texts token by token, without a model."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.protocols import AdapterStore
from selfedit.records import LivePiece, LiveRequest, Prompt, Refused, TokenChance

CONTEXT = 512
"""Words of a prompt with its text."""


@dataclass(slots=True)
class _Line:
    """A text under way."""

    request: LiveRequest
    words: list[str]
    """What is still to be said."""
    said: int = 0


class FakeLiveWriter:
    """Implements `protocols.LiveWriter`: tokens are words with the white space before them, chosen by `write`.

    Args:
        write: (prompt, seed) → text; the seed is made of the version, and of the request's where it is not greedy.
        adapters: where versions are found.
        rows: texts at once.
        versions: versions at once.
    """

    def __init__(self, write: Callable[[Prompt, int], str], adapters: AdapterStore, rows: int, versions: int) -> None:
        self.write, self.adapters, self.rows, self.most_versions = write, adapters, rows, versions
        self.seconds = 0.0
        """What a step takes."""
        self.broken: Exception | None = None
        """Raised by the next step."""
        self.sizes: list[int] = []
        """Texts of each step."""
        self.lines: dict[int, _Line] = {}
        self._held: OrderedDict[str, None] = OrderedDict()

    @property
    def versions(self) -> int:
        """Versions at hand."""
        return len(self._held)

    def join(self, requests: Sequence[LiveRequest]) -> list[int | Refused | None]:
        """In order, as long as there is room."""
        joined: list[int | Refused | None] = [None] * len(requests)
        for i, request in enumerate(requests):
            outcome = self._join(request)
            if outcome is None:
                break
            joined[i] = outcome
        return joined

    def _join(self, request: LiveRequest) -> int | Refused | None:
        words = len(request.prompt.text.split()) + sum(
            len(text.split()) for turn in request.prompt.history for text in turn
        )
        most = request.sampling.max_new_tokens
        if words + (1 if request.is_clipped else most) > CONTEXT:
            return Refused("too_long", f"a prompt of {words} tokens exceeds the model's context of {CONTEXT}")
        if len(self.lines) >= self.rows:
            return None
        if not self._has_at_hand(request.base.digest):
            return None
        try:
            if request.base.adapter:
                self.adapters.find(request.base)
        except SelfeditError as error:
            return Refused("missing", str(error))
        if request.base.adapter:
            self._held[request.base.digest] = None
            self._held.move_to_end(request.base.digest)
        self.lines[request.key] = _Line(request, re.findall(r"\s*\S+", self.text_of(request))[: CONTEXT - words])
        return words

    def text_of(self, request: LiveRequest) -> str:
        """All that it will say."""
        seed = request.seed if request.sampling.temperature else 0
        return self.write(request.prompt, seeds.derive(request.base.digest, seed))

    def _has_at_hand(self, digest: str) -> bool:
        """Whether there is a slot for a version; one that is idle is given up for it."""
        if not digest or digest in self._held or len(self._held) < self.most_versions:
            return True
        used = {line.request.base.digest for line in self.lines.values()}
        idle = next((one for one in self._held if one not in used), None)
        if idle is not None:
            del self._held[idle]
        return idle is not None

    def step(self) -> list[LivePiece]:
        """A word for each text."""
        if self.broken:
            broken, self.broken = self.broken, None
            raise broken
        if self.lines:
            self.sizes.append(len(self.lines))
            time.sleep(self.seconds)
        pieces = [self._piece(key, line) for key, line in self.lines.items()]
        for piece in pieces:
            if piece.ending:
                del self.lines[piece.key]
        return pieces

    def _piece(self, key: int, line: _Line) -> LivePiece:
        word = line.words.pop(0) if line.words else ""
        line.said += bool(word)
        if not word:
            return LivePiece(key, "", 0, (), "stop")
        n = line.request.top_logprobs
        likeliest = ((word, -0.5), *((f"{word}{i}", -2.0 - i) for i in range(20)))
        chances = () if n is None else (TokenChance(word, -0.5, likeliest[:n]),)
        is_full = line.said >= line.request.sampling.max_new_tokens
        return LivePiece(key, word, 1, chances, "length" if is_full else "")

    def leave(self, keys: Iterable[int]) -> None:
        """Not wanted any more."""
        for key in keys:
            self.lines.pop(key, None)
