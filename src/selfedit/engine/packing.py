"""L1. Sequences of many adapters in one forward pass, without padding.

All tokens lie in one row of shape [1, T]. Positions restart at every sequence, attention is confined to it (see
`attention.py`), and sequences of one adapter lie side by side, so that a LoRA product is one matrix product per
adapter (see `bank.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised sequence."""

    ids: tuple[int, ...]
    """Token ids."""
    loss_from: int
    """Index of the first token that carries loss (at least 1: nothing predicts the first token)."""

    @property
    def loss_count(self) -> int:
        """How many tokens carry loss."""
        return len(self.ids) - self.loss_from


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
class Spread:
    """How the tokens of n adapters stand in a padded block [n, m], for one batched product over all adapters.

    The padding is local to the small LoRA products; the base never sees it.
    """

    slots: tuple[int, ...]
    """The adapters, in the block's order."""
    width: int
    """m, tokens of the longest."""
    start: int
    """Tokens from here on belong to adapters; those before have none."""
    places: torch.Tensor
    """[T - start] where each token stands in the flattened block."""
    index: torch.Tensor
    """[n] the adapters, as a tensor."""

    @property
    def is_leading(self) -> bool:
        """The adapters are the bank's first n, in order, so that slices serve."""
        return self.slots == tuple(range(len(self.slots)))


MAX_PADDING = 2.5
"""A block is used while it holds at most this many places per token; beyond it, one product per adapter is cheaper."""


def spread(segments: Sequence[Segment], device: torch.device) -> Spread | None:
    """The block for these segments; None where one product per adapter serves better."""
    if not segments:
        return None
    lengths = [segment.stop - segment.start for segment in segments]
    width = max(lengths)
    if len(segments) == 1 or len(segments) * width > MAX_PADDING * sum(lengths):
        return None
    places = torch.cat([torch.arange(length) + i * width for i, length in enumerate(lengths)])
    slots = tuple(segment.slot for segment in segments)
    return Spread(slots, width, segments[0].start, places.to(device), torch.tensor(slots, device=device))


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
    """[n] those tokens."""
    owners: tuple[int, ...]
    """For each sequence, its index in the list that was packed."""
    loss_counts: tuple[int, ...]
    """For each sequence, how many of the n are its own."""


def pack(sequences: Sequence[Tokens], slots: Sequence[int], device: torch.device) -> Pack:
    """Lay sequences side by side, ordered by slot; a slot below 0 means no adapter."""
    order = sorted(range(len(sequences)), key=lambda i: slots[i])
    ids: list[int] = []
    positions: list[int] = []
    loss_positions: list[int] = []
    segments: list[Segment] = []
    for i in order:
        start, sequence = len(ids), sequences[i]
        ids.extend(sequence.ids)
        positions.extend(range(len(sequence.ids)))
        loss_positions.extend(range(start + sequence.loss_from - 1, len(ids) - 1))
        _extend(segments, slots[i], start, len(ids))
    ids_T = torch.tensor(ids, device=device)
    loss_n = torch.tensor(loss_positions, dtype=torch.long, device=device)
    return Pack(
        ids=ids_T[None],
        positions=torch.tensor(positions, device=device)[None],
        lengths=tuple(len(sequences[i].ids) for i in order),
        segments=tuple(segments),
        loss_positions=loss_n,
        targets=ids_T[loss_n + 1],
        owners=tuple(order),
        loss_counts=tuple(sequences[i].loss_count for i in order),
    )


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


def _extend(segments: list[Segment], slot: int, start: int, stop: int) -> None:
    if slot < 0:
        return
    if segments and segments[-1].slot == slot and segments[-1].stop == start:
        segments[-1] = Segment(slot, segments[-1].start, stop)
    else:
        segments.append(Segment(slot, start, stop))
