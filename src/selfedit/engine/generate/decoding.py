"""L1. Write many texts at once: self-edits from one policy, or answers from many adapters.

One batched decoder with preallocated keys and values. A prompt that several rows share passes the model once, and so
does the beginning that all prompts of one adapter share. Nothing is kept from one call to the next, for what passed in
other company has other last digits. Rows that have ended leave the batch and waiting ones join, and every row draws
from its own seed, so that what a row says does not depend on which rows were beside it (up to floating-point rounding
of differently shaped products).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import body, inputs
from selfedit.engine.forward.packing import Pack, Segment, Tokens, batches_of, on_device, pack, row_segments, send
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.generate.few_rows import FewRows, is_compiled
from selfedit.engine.generate.grammar import Follower, JsonGrammars, forbid
from selfedit.engine.generate.steps import Steps, fits
from selfedit.records import SamplingParams

_SHORTEST_PREFIX = 16
"""A shorter common beginning is not worth a pass of its own."""
_LOOKS = (256, 2048, 16384)
"""How many of the likeliest tokens are looked at, until they hold the nucleus."""


Prefix = tuple[int, tuple[int, ...]]
"""(slot, the token ids that its prompts begin with)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One text to be written."""

    prompt: tuple[int, ...]
    """Token ids."""
    slot: int
    """Adapter that writes it; below 0: the policy alone."""
    sampling: SamplingParams
    """How tokens are drawn."""
    seed: int = 0
    """Decides the draws; unused when greedy."""
    is_one_line: bool = False
    """True: ends at the first line break that follows some text."""
    json_schema: str = ""
    """JSON schema that the text follows; empty: free text."""
    top_logprobs: int | None = None
    """How many of the likeliest tokens are noted with each token; None: no log-probabilities at all."""


Chance = tuple[float, list[tuple[int, float]]]
"""(log-probability of the token that was drawn, the likeliest in its place with theirs), of the model as it is."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A beginning of prompts that has passed the model."""

    n_tokens: int
    cache: KVCache
    row: int


@dataclass(slots=True)
class WrittenRow:
    """A request in the batch."""

    index: int
    request: Request
    draws: torch.Tensor
    written: list[int] = field(default_factory=list)
    is_done: bool = False
    follower: Follower | None = None
    chances: list[Chance] = field(default_factory=list)
    """For each token written, where log-probabilities are wanted."""

    @property
    def cached(self) -> int:
        """Tokens whose keys are in the cache: all but the newest."""
        return len(self.request.prompt) + len(self.written) - 1


class Decoder:
    """Writes texts with a model; see the module.

    Args:
        stop_ids: tokens that end a text.
        line_ids: tokens whose text holds a line break.
        blank_ids: tokens that are white space only.
        max_rows: rows decoded together.
        max_tokens: most prompt tokens in one forward pass.
        grammars: for requests with a JSON schema; None where there are none.
        is_rounded: with base weights of 8 bits (see `forward/eight_bits.py`); on a CPU only.
    """

    def __init__(
        self,
        model: Any,
        holder: PlanHolder,
        stop_ids: frozenset[int],
        line_ids: frozenset[int],
        blank_ids: frozenset[int],
        max_rows: int = 64,
        max_tokens: int = 4096,
        grammars: JsonGrammars | None = None,
        is_rounded: bool = False,
    ) -> None:
        self.model, self.holder = model, holder
        self.stop_ids, self.line_ids, self.blank_ids = stop_ids, line_ids, blank_ids
        self.max_rows, self.max_tokens = max_rows, max_tokens
        self.grammars = grammars
        self.is_rounded = is_rounded
        self.steps = Steps(model, holder) if fits(model, holder) else None
        self.few_rows = FewRows(model, holder, is_rounded) if is_compiled(model, holder) else None

    @torch.no_grad()
    def generate(self, requests: Sequence[Request]) -> list[tuple[list[int], bool]]:
        """For each request the tokens written (without a stop token), and whether it ended by itself.

        Raises:
            SelfeditError: a JSON schema that cannot be followed; nothing has been written then.
        """
        done: list[tuple[list[int], bool]] = [([], False)] * len(requests)
        if not requests:
            return done
        waiting = sorted(range(len(requests)), key=lambda i: (requests[i].slot, requests[i].prompt))
        followers = [self.constraint(request) for request in requests]
        n_rows = min(self.max_rows, len(requests))
        longest = max(len(r.prompt) + r.sampling.max_new_tokens for r in requests)
        cache = KVCache(rows=n_rows, length=longest)
        prefixes = self._pass_prefixes(common_prefixes(requests))
        rows: list[WrittenRow] = []
        while waiting or rows:
            joining = waiting[: n_rows - len(rows)]
            del waiting[: len(joining)]
            if joining:
                rows += self.admit([start(i, requests[i], followers[i]) for i in joining], cache, len(rows), prefixes)
            else:
                self.step(rows, cache)
            ended = [row for row in rows if row.is_done]
            for row in ended:
                done[row.index] = self.result(row)
            is_worth_it = bool(waiting) or len(ended) * 8 >= len(rows)
            if joining or (ended and is_worth_it):
                rows = self.arrange(rows, cache)
        return done

    def _pass_prefixes(self, wanted: Sequence[Prefix]) -> dict[int, _Held]:
        """Slot → the beginning that its prompts share."""
        if not wanted:
            return {}
        cache = KVCache(rows=len(wanted), length=max(len(ids) for _, ids in wanted))
        sequences = [Tokens(ids, len(ids)) for _, ids in wanted]
        for chunk in batches_of(sequences, range(len(wanted)), self.max_tokens):
            packed = pack([sequences[i] for i in chunk], [wanted[i][0] for i in chunk], self._device)
            at = [chunk[owner] for owner in packed.owners]
            self._follow_pack(packed, cache, at)
            body(self.model)(**inputs(packed.ids, packed.positions))
        return {slot: _Held(len(ids), cache, row) for row, (slot, ids) in enumerate(wanted)}

    def admit(self, rows: list[WrittenRow], cache: KVCache, first: int, prefixes: dict[int, _Held]) -> list[WrittenRow]:
        """Pass the prompts, each distinct one once, and draw every row's first token. Rows of one prompt and slot stand
        side by side; they go to the cache's rows from `first` on."""
        leaders = [i for i, row in enumerate(rows) if i == 0 or not _same_prompt(row, rows[i - 1])]
        shared = [prefixes.get(rows[leader].request.slot) for leader in leaders]
        offsets = [held.n_tokens if held else 0 for held in shared]
        for leader, held in zip(leaders, shared, strict=True):
            if held:
                cache.copy_row(held.cache, held.row, first + leader)
        rests = [rows[leader].request.prompt[n:] for leader, n in zip(leaders, offsets, strict=True)]
        prompts = [Tokens(rest, len(rest)) for rest in rests]
        logits: list[torch.Tensor] = []
        for chunk in batches_of(prompts, range(len(leaders)), self.max_tokens):
            slots, starts = [rows[leaders[i]].request.slot for i in chunk], [offsets[i] for i in chunk]
            packed = pack([prompts[i] for i in chunk], slots, self._device, starts)
            at = [first + leaders[chunk[owner]] for owner in packed.owners]
            there = [(row, starts[owner]) for row, owner in zip(at, packed.owners, strict=True)]
            ends = self._follow_pack(packed, cache, at, starts=there if any(starts) else ())
            logits += next_logits(self.model, self.holder, packed.ids, packed.positions, ends)
        leader_of = [sum(leader <= i for leader in leaders) - 1 for i in range(len(rows))]
        if len(leaders) < len(rows):
            [source] = on_device([[first + leaders[leader] for leader in leader_of]], self._device)
            for store in (*cache.keys, *cache.values):
                store[first : first + len(rows)] = store[source]
        self._draw(rows, torch.stack([logits[leader] for leader in leader_of]))
        return rows

    def step(self, rows: list[WrittenRow], cache: KVCache) -> None:
        """One more token for every row."""
        self._draw(rows, self._step_logits(rows, cache))

    def _step_logits(self, rows: list[WrittenRow], cache: KVCache) -> torch.Tensor:
        """[R, vocabulary] after each row's newest token."""
        cached, slots = [row.cached for row in rows], [row.request.slot for row in rows]
        lengths, ids = on_device((cached, [row.written[-1] for row in rows]), self._device)
        if self.few_rows is not None and self.few_rows.can(len(rows)):
            return self.few_rows.logits(ids, lengths, slots, cache)
        every = torch.arange(len(rows), device=self._device)
        where = {"cache": cache, "cache_rows": every, "cache_places": lengths, "longest": max(cached) + 1}
        self._follow(row_segments(slots), **where)
        if self.steps is not None:
            return self.steps.logits(ids, lengths)
        return next_logits(self.model, self.holder, ids[None], lengths[None], every)

    def _follow_pack(self, packed: Pack, cache: KVCache, rows: Sequence[int], **more: Any) -> torch.Tensor:
        """Plan a pass whose keys and values go into these rows, one per sequence; returns the places of their last
        tokens [n] in the pack."""
        row_of = [row for row, n in zip(rows, packed.lengths, strict=True) for _ in range(n)]
        ends = [end - 1 for end in accumulate(packed.lengths)]
        rows_T, ends_n = on_device((row_of, ends), self._device)
        places = packed.positions[0]
        self._follow(
            packed.segments, lengths=packed.lengths, cache=cache, cache_rows=rows_T, cache_places=places, **more
        )
        return ends_n

    def _follow(self, segments: tuple[Segment, ...], **more: Any) -> None:
        self.holder.follow(segments, self._device, self.model.dtype, is_rounded=self.is_rounded, **more)

    def constraint(self, request: Request) -> Follower | None:
        """What holds the request to its schema; None where it has none. Raises SelfeditError: it cannot be followed."""
        if not request.json_schema:
            return None
        assert self.grammars is not None, "a request with a JSON schema needs a decoder with grammars"
        return self.grammars.start(request.json_schema)

    def _draw(self, rows: list[WrittenRow], logits: torch.Tensor) -> None:
        noted = [i for i, row in enumerate(rows) if row.request.top_logprobs is not None and not row.is_done]
        logprobs = logits[noted].float().log_softmax(-1) if noted else logits[:0]
        followers = {i: row.follower for i, row in enumerate(rows) if row.follower and not row.is_done}
        if followers:
            forbid(logits, followers)
        tokens = draw_tokens(logits, [row.request.sampling for row in rows], [_next_draw(row) for row in rows])
        _note([rows[i] for i in noted], [tokens[i] for i in noted], logprobs)
        for row, token in zip(rows, tokens, strict=True):
            if row.is_done:
                continue
            row.written.append(token)
            if row.follower and token not in self.stop_ids:
                row.follower.advance(token)
            is_full = len(row.written) >= row.request.sampling.max_new_tokens
            row.is_done = is_full or token in self.stop_ids or self._ends_line(row) or _is_over(row)

    def result(self, row: WrittenRow) -> tuple[list[int], bool]:
        """(the tokens written, without a stop token; whether it ended by itself) of a row that is done."""
        stopped = row.written[-1] in self.stop_ids
        is_ended = stopped or self._ends_line(row) or _is_over(row)
        is_whole = row.follower is None or row.follower.is_complete
        return (row.written[:-1] if stopped else row.written), is_ended and is_whole

    def _ends_line(self, row: WrittenRow) -> bool:
        if not row.request.is_one_line or not row.written or row.written[-1] not in self.line_ids:
            return False
        return any(token not in self.blank_ids for token in row.written)

    def arrange(self, rows: list[WrittenRow], cache: KVCache) -> list[WrittenRow]:
        """Drop ended rows and order the others by adapter, in the cache as well."""
        keep = sorted((i for i, row in enumerate(rows) if not row.is_done), key=lambda i: rows[i].request.slot)
        kept = [rows[i] for i in keep]
        if kept and keep != list(range(len(rows))):
            cache.reorder(on_device([keep], self._device)[0], max(row.cached for row in kept))
        return kept

    @property
    def _device(self) -> torch.device:
        return self.model.device


def common_prefixes(requests: Sequence[Request]) -> list[Prefix]:
    """The beginning that all prompts of a slot share, where it is long enough and there are several. A prompt's last
    token is never part of it."""
    prompts: dict[int, set[tuple[int, ...]]] = {}
    for request in requests:
        prompts.setdefault(request.slot, set()).add(request.prompt)
    found = []
    for slot, distinct in prompts.items():
        low, high = min(distinct), max(distinct)  # all others lie between these two, and share what they share
        n = 0
        while n < min(len(low), len(high)) - 1 and low[n] == high[n]:
            n += 1
        if len(distinct) > 1 and n >= _SHORTEST_PREFIX:
            found.append((slot, low[:n]))
    return found


def draw_tokens(logits: torch.Tensor, samplings: Sequence[SamplingParams], draws: Sequence[float]) -> list[int]:
    """One token per row of logits [R, V]; row i uses the uniform draw draws[i] in [0, 1) by inverse transform.

    Top-p needs the likeliest tokens only: 256 are looked at, and more just for rows whose nucleus is larger. Without
    top-p (1) the mass is known beforehand, so that a draw that falls among those looked at is settled.
    """
    tokens = [0] * len(samplings)
    greedy = [i for i, sampling in enumerate(samplings) if sampling.temperature == 0]
    for i, token in zip(greedy, _rows(logits, greedy).argmax(-1).tolist(), strict=True):
        tokens[i] = token
    waiting = [i for i, sampling in enumerate(samplings) if sampling.temperature > 0]
    if not waiting:
        return tokens
    logits = _rows(logits, waiting).float()
    by_row = torch.tensor([(samplings[i].temperature, samplings[i].top_p, draws[i]) for i in waiting])
    temperature, top_p, uniform = send(by_row, logits.device).T.contiguous()
    temperature = temperature[:, None]
    total = (logits / temperature).logsumexp(-1, keepdim=True)
    left = list(range(len(waiting)))
    for look in (*_LOOKS, logits.shape[-1]):
        values, order = _likeliest(_rows(logits, left), look)
        probabilities = (values / _rows(temperature, left) - _rows(total, left)).exp()
        place, is_held = _place_in_nucleus(probabilities, _rows(top_p, left), _rows(uniform, left))
        chosen = order.gather(1, place[:, None])[:, 0]
        drawn, held = torch.stack((chosen, is_held.long())).tolist()
        for i, token in zip(left, drawn, strict=True):
            tokens[waiting[i]] = token
        left = [i for i, is_done in zip(left, held, strict=True) if not is_done]
        if not left or look >= logits.shape[-1]:
            break
    return tokens


def _rows(matrix: torch.Tensor, wanted: list[int]) -> torch.Tensor:
    return matrix if len(wanted) == len(matrix) else matrix[wanted]


def _likeliest(logits: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The n largest logits of each row, from the largest, and their tokens."""
    if n < logits.shape[-1]:
        return logits.topk(n, dim=-1)
    return logits.sort(dim=-1, descending=True, stable=True)


def _place_in_nucleus(
    probabilities: torch.Tensor, top_p: torch.Tensor, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """([R] place of the token drawn, [R] whether it is settled) of the largest probabilities [R, n]."""
    cumulative = probabilities.cumsum(-1)
    last = (cumulative < top_p[:, None]).sum(-1).clamp(max=probabilities.shape[-1] - 1)
    is_uncut = top_p >= 1
    mass = torch.where(is_uncut, 1.0, cumulative.gather(1, last[:, None])[:, 0])
    place = torch.minimum((cumulative <= (uniform * mass)[:, None]).sum(-1), last)
    return place, torch.where(is_uncut, cumulative[:, -1] > uniform, cumulative[:, -1] >= top_p)


def start(index: int, request: Request, follower: Follower | None) -> WrittenRow:
    """A row that has written nothing yet."""
    if request.sampling.temperature > 0:
        generator = torch.Generator().manual_seed(request.seed % 2**31)
        return WrittenRow(
            index, request, torch.rand(request.sampling.max_new_tokens, generator=generator), follower=follower
        )
    return WrittenRow(index, request, torch.zeros(0), follower=follower)


def _note(rows: Sequence[WrittenRow], tokens: Sequence[int], logprobs: torch.Tensor) -> None:
    """Writes down how likely the tokens [R] were, and which were the likeliest, by log-probabilities [R, V]."""
    if not rows:
        return
    most = max(row.request.top_logprobs or 0 for row in rows)
    drawn = logprobs[torch.arange(len(rows)), torch.tensor(tokens)].tolist()
    top = logprobs.topk(min(most, logprobs.shape[-1]), dim=-1)
    values, order = top.values.tolist(), top.indices.tolist()
    for i, row in enumerate(rows):
        n = row.request.top_logprobs or 0
        row.chances.append((drawn[i], list(zip(order[i][:n], values[i][:n], strict=True))))


def _next_draw(row: WrittenRow) -> float:
    at = len(row.written)
    return row.draws[at].item() if at < len(row.draws) else 0.0


def _is_over(row: WrittenRow) -> bool:
    return row.follower is not None and row.follower.is_over


def _same_prompt(row: WrittenRow, other: WrittenRow) -> bool:
    return row.request.slot == other.request.slot and row.request.prompt == other.request.prompt
