"""L1. Log-probability of several continuations of one prompt, which passes the model once.

Candidates for an answer differ by a few tokens behind the same long prompt. The prompt's keys and values are kept, each
candidate gets a copy of them, and only its own tokens pass. Sequences whose prompt nobody shares are scored as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import body, inputs
from selfedit.engine.forward.packing import Tokens, batches_of, on_device, pack
from selfedit.engine.forward.scoring import mean_logprobs, token_losses
from selfedit.engine.forward.trunk import Lower

Prompt = tuple[int, tuple[int, ...]]
"""(slot, token ids)."""


@torch.no_grad()
def continuation_logprobs(
    model: Any,
    holder: PlanHolder,
    sequences: Sequence[Tokens],
    slots: Sequence[int],
    max_tokens: int,
    max_rows: int,
    lower: Lower | None = None,
) -> list[float]:
    """For each sequence, the mean log-probability (nats per token) of the part that carries loss, which is its end."""
    owners: dict[Prompt, list[int]] = {}
    for i, (sequence, slot) in enumerate(zip(sequences, slots, strict=True)):
        owners.setdefault((slot, sequence.ids[: sequence.loss_from]), []).append(i)
    shared = {prompt: some for prompt, some in sorted(owners.items()) if len(some) > 1 and len(prompt[1]) > 1}
    alone = sorted(set(range(len(sequences))) - {i for some in shared.values() for i in some})
    plain = mean_logprobs(model, holder, [sequences[i] for i in alone], [slots[i] for i in alone], max_tokens, lower)
    found = dict(zip(alone, plain, strict=True))
    for chunk in _chunks(shared, max_rows):
        found.update(_score_chunk(model, holder, sequences, chunk, max_tokens))
    return [found[i] for i in range(len(sequences))]


def _chunks(shared: dict[Prompt, list[int]], max_rows: int) -> list[dict[Prompt, list[int]]]:
    """Prompts with their sequences, at most `max_rows` sequences together (more, where one prompt has more)."""
    chunks: list[dict[Prompt, list[int]]] = []
    n_rows = max_rows
    for prompt, some in shared.items():
        if n_rows + len(some) > max_rows:
            chunks.append({})
            n_rows = 0
        chunks[-1][prompt] = some
        n_rows += len(some)
    return chunks


def _score_chunk(
    model: Any, holder: PlanHolder, sequences: Sequence[Tokens], chunk: dict[Prompt, list[int]], max_tokens: int
) -> dict[int, float]:
    rows = [i for some in chunk.values() for i in some]
    leaders = [rows.index(some[0]) for some in chunk.values()]
    cache = KVCache(rows=len(rows), length=max(len(sequences[i].ids) for i in rows))
    _pass_prompts(model, holder, list(chunk), leaders, cache, max_tokens)
    leader_of = [leader for leader, some in zip(leaders, chunk.values(), strict=True) for _ in some]
    [source] = on_device([leader_of], model.device)
    for store in (*cache.keys, *cache.values):
        store[:] = store[source]
    slots = [slot for (slot, _), some in chunk.items() for _ in some]
    starts = [sequences[i].loss_from - 1 for i in rows]
    rests = [Tokens(sequences[i].ids[start:], 1) for i, start in zip(rows, starts, strict=True)]
    found = {}
    for some_rows in batches_of(rests, range(len(rests)), max_tokens):
        packed = pack(
            [rests[r] for r in some_rows], [slots[r] for r in some_rows], model.device, [starts[r] for r in some_rows]
        )
        at = [some_rows[owner] for owner in packed.owners]
        there = [(row, starts[row]) for row in at]
        losses = token_losses(model, holder, packed, **_cached(packed, cache, at, model.device), starts=there)
        for row, part in zip(at, losses.split(packed.loss_counts), strict=True):
            found[rows[row]] = -float(part.mean())
    return found


def _pass_prompts(
    model: Any, holder: PlanHolder, prompts: Sequence[Prompt], rows: Sequence[int], cache: KVCache, max_tokens: int
) -> None:
    """All but the last token of each prompt, whose keys and values go into these rows."""
    bodies = [Tokens(ids[:-1], len(ids) - 1) for _, ids in prompts]
    for chunk in batches_of(bodies, range(len(bodies)), max_tokens):
        packed = pack([bodies[i] for i in chunk], [prompts[i][0] for i in chunk], model.device)
        at = [rows[chunk[owner]] for owner in packed.owners]
        fields = _cached(packed, cache, at, model.device)
        holder.follow(packed.segments, model.device, model.dtype, lengths=packed.lengths, **fields)
        body(model)(**inputs(packed.ids, packed.positions))


def _cached(packed: Any, cache: KVCache, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
    """Fields of a plan whose keys and values go into these rows, one a sequence."""
    row_of = [row for row, n in zip(rows, packed.lengths, strict=True) for _ in range(n)]
    [rows_T] = on_device((row_of,), device)
    return {"cache": cache, "cache_rows": rows_T, "cache_places": packed.positions[0]}
