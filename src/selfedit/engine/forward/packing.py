"""L1. Sequences of many adapters in one forward pass, without padding.

All tokens lie in one row of shape [1, T]. Positions restart at every sequence, attention is confined to it (see
`attention.py`), and sequences of one adapter lie side by side, so that a LoRA product is one matrix product per
adapter (see `bank.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True)
class Soft:
    """What could stand at each of n places: k candidates with their probabilities."""

    ids: torch.Tensor
    """[n, k] token ids, int32."""
    probabilities: torch.Tensor
    """[n, k] float32 or wider; each row sums to 1."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised sequence."""

    ids: tuple[int, ...]
    """Token ids."""
    loss_from: int
    """Index of the first token that carries loss (at least 1: nothing predicts the first token)."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches from `loss_from` on, each [start, stop), that carry none after all; in order, apart."""
    teacher: Tokens | None = None
    """What the teacher reads: other tokens before, and the same ones that carry loss."""
    is_anchored: bool = False
    """Whether the teacher is the model without adapters, whatever the policy."""
    in_epoch: int | None = field(default=None, compare=False)
    """The one epoch in which it is trained on; None: in every one."""
    soft: Soft | None = field(default=None, compare=False)
    """What the teacher expects in the place of each token that carries loss; None: the tokens themselves are learnt."""

    @property
    def loss_count(self) -> int:
        """How many tokens carry loss."""
        return len(self.ids) - self.loss_from - sum(stop - start for start, stop in self.gaps)

    @property
    def loss_places(self) -> Iterator[int]:
        """The places of these tokens."""
        start = self.loss_from
        for gap, stop in (*self.gaps, (len(self.ids), 0)):
            yield from range(start, gap)
            start = stop

    @property
    def reach(self) -> int:
        """How long a context it takes, for the teacher as well."""
        return max(len(self.ids), self.teacher.reach if self.teacher else 0)


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring tokens of a pack that belong to one adapter."""

    slot: int
    """The adapter's place in the bank."""
    start: int
    """First token."""
    stop: int
    """One past the last token."""


@dataclass(frozen=True, slots=True)
class Block:
    """How the tokens of n neighbouring slots stand in a padded block [n, m], for one batched product over all of them.

    The padding is local to the small LoRA products; the base never sees it. A place that no token has holds a copy of
    the first token, and `factor` 0 takes it out.
    """

    slots: slice
    """The n slots."""
    width: int
    """m, tokens of the longest."""
    sources: torch.Tensor
    """[n · m] the token that stands at each place."""
    start: int
    """The block's tokens lie from here …"""
    stop: int
    """… to here; among them may be some of slots that go alone."""
    places: torch.Tensor
    """[stop - start] where each token stands in the flattened block: an empty place for one that goes alone."""
    factor: torch.Tensor
    """[n, m, 1] the slot's scale, 0 at empty places."""

    def take(self, x: torch.Tensor) -> torch.Tensor:
        """x [T, d] → [n, m, d]."""
        return x.index_select(0, self.sources).view(-1, self.width, x.shape[1])

    def give(self, y: torch.Tensor, block: torch.Tensor) -> None:
        """Add [n, m, d], zero at empty places, to the rows of y [T, d] that it was taken from."""
        y[self.start : self.stop] += block.view(-1, y.shape[1]).index_select(0, self.places)


MAX_PADDING = {"cpu": 2.0, "cuda": 4.0}
"""Stretches share a block while it has at most this many places per token; beyond that, products of their own are
cheaper for the longest. On a GPU a launch costs more than the arithmetic of a small product."""


def divide(segments: Sequence[Segment], max_padding: float) -> tuple[list[Segment], list[Segment]]:
    """(those that share a block of at most `max_padding` places per token, those that go alone), each in order."""
    shared, alone = list(segments), []
    while shared:
        longest = max(shared, key=_length)
        n_slots = shared[-1].slot - shared[0].slot + 1
        if n_slots * _length(longest) <= max_padding * sum(map(_length, shared)):
            break
        shared.remove(longest)
        alone.append(longest)
    if len(shared) < 2:
        return [], list(segments)
    return shared, sorted(alone, key=lambda segment: segment.start)


def block_of(segments: Sequence[Segment], scales: Sequence[float], device: torch.device, dtype: torch.dtype) -> Block:
    """The block that these segments share; `scales` is by slot."""
    first, last = segments[0].slot, segments[-1].slot
    n, width = last - first + 1, max(map(_length, segments))
    start, stop = segments[0].start, segments[-1].stop
    tokens = torch.cat([torch.arange(s.start, s.stop) for s in segments])
    taken = torch.cat([torch.arange(_length(s)) + (s.slot - first) * width for s in segments])
    sources = torch.full((n * width,), start).index_copy_(0, taken, tokens)
    by_token = torch.cat([torch.full((_length(s),), scales[s.slot], dtype=torch.float64) for s in segments])
    factor = torch.zeros(n * width, dtype=torch.float64).index_copy_(0, taken, by_token)
    an_empty_place = int((factor == 0).to(torch.uint8).argmax())
    places = torch.full((stop - start,), an_empty_place).index_copy_(0, tokens - start, taken)
    return Block(
        slots=slice(first, last + 1),
        width=width,
        sources=send(sources, device),
        start=start,
        stop=stop,
        places=send(places, device),
        factor=send(factor.to(dtype), device).view(n, width, 1),
    )


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor from the CPU, on `device`; a GPU that is still at work does not make the caller wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def on_device(numbers: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Lists of whole numbers as int64 tensors on `device`, sent together."""
    flat = torch.tensor([n for one in numbers for n in one], dtype=torch.long)
    return send(flat, device).split([len(one) for one in numbers])


def _length(segment: Segment) -> int:
    return segment.stop - segment.start


@dataclass(frozen=True, slots=True)
class Pack:
    """Sequences side by side, with T tokens in all, of which n carry loss."""

    ids: torch.Tensor
    """[1, T] token ids."""
    positions: torch.Tensor
    """[1, T] positions within each sequence."""
    lengths: tuple[int, ...]
    """Tokens of each sequence; they sum to T."""
    segments: tuple[Segment, ...]
    """The adapter of each stretch of tokens."""
    loss_positions: torch.Tensor
    """[n] the positions whose output predicts a token that carries loss."""
    targets: torch.Tensor
    """[n] those tokens; [n, k] candidates where any sequence has a teacher."""
    owners: tuple[int, ...]
    """For each sequence, its index in the list that was packed."""
    loss_counts: tuple[int, ...]
    """For each sequence, how many of the n are its own."""
    probabilities: torch.Tensor | None = None
    """[n, k] those of the candidates."""


def pack(sequences: Sequence[Tokens], slots: Sequence[int], device: torch.device, offsets: Sequence[int] = ()) -> Pack:
    """Lay sequences side by side, ordered by slot; a slot below 0 means no adapter. `offsets`: the position of each
    sequence's first token, where it is not 0."""
    order = sorted(range(len(sequences)), key=lambda i: slots[i])
    ids: list[int] = []
    positions: list[int] = []
    loss_positions: list[int] = []
    segments: list[Segment] = []
    for i in order:
        start, sequence = len(ids), sequences[i]
        ids.extend(sequence.ids)
        first = offsets[i] if offsets else 0
        positions.extend(range(first, first + len(sequence.ids)))
        loss_positions.extend(start + place - 1 for place in sequence.loss_places)
        _extend(segments, slots[i], start, len(ids))
    targets = [ids[position + 1] for position in loss_positions]
    ids_T, positions_T, loss_n, targets_n = on_device((ids, positions, loss_positions, targets), device)
    candidates, probabilities = _candidates([sequences[i] for i in order], targets_n)
    return Pack(
        ids=ids_T[None],
        positions=positions_T[None],
        lengths=tuple(len(sequences[i].ids) for i in order),
        segments=tuple(segments),
        loss_positions=loss_n,
        targets=candidates,
        owners=tuple(order),
        loss_counts=tuple(sequences[i].loss_count for i in order),
        probabilities=probabilities,
    )


def _candidates(sequences: Sequence[Tokens], gold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What is learnt at each of n places: the token `gold` [n] alone, or, as soon as one sequence has a teacher, k
    candidates with probabilities. Where there is no teacher, the token has 1 and what fills up the row 0."""
    like = next((t.soft for t in sequences if t.soft is not None), None)
    if like is None:
        return gold, None
    n, k = len(gold), like.ids.shape[1]
    ids, probabilities = gold.new_zeros(n, k), like.probabilities.new_zeros(n, k)
    ids[:, 0], probabilities[:, 0] = gold, 1
    start = 0
    for tokens in sequences:
        stop = start + tokens.loss_count
        if tokens.soft is not None:
            ids[start:stop], probabilities[start:stop] = tokens.soft.ids, tokens.soft.probabilities
        start = stop
    return ids, probabilities


def row_segments(slots: Sequence[int]) -> tuple[Segment, ...]:
    """Segments of a decoding step, where every row is one token and rows are sorted by slot."""
    segments: list[Segment] = []
    for row, slot in enumerate(slots):
        _extend(segments, slot, row, row + 1)
    return tuple(segments)


def batches_of(sequences: Sequence[Tokens], indices: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Split `indices` in order into runs of at most `max_tokens` tokens (a longer sequence goes alone)."""
    run: list[int] = []
    total = 0
    for i in indices:
        length = len(sequences[i].ids)
        if run and total + length > max_tokens:
            yield run
            run, total = [], 0
        run.append(i)
        total += length
    if run:
        yield run


def split_to_context(tokens: Tokens, longest: int) -> list[Tokens]:
    """A text that is longer than the model's context as windows of at most `longest` tokens. A window begins with the
    token that the one before ended with, so that every token but the first carries loss exactly once."""
    if len(tokens.ids) <= longest:
        return [tokens]
    starts = range(0, len(tokens.ids) - 1, longest - 1)
    return [Tokens(tokens.ids[start : start + longest], 1, in_epoch=tokens.in_epoch) for start in starts]


def _extend(segments: list[Segment], slot: int, start: int, stop: int) -> None:
    if slot < 0:
        return
    if segments and segments[-1].slot == slot and segments[-1].stop == start:
        segments[-1] = Segment(slot, segments[-1].start, stop)
    else:
        segments.append(Segment(slot, start, stop))
