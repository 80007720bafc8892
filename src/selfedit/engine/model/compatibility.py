"""L1. A model is taken only if it says in packs and decoding steps what it says by itself.

A few tokens pass it twice: before anything in it is replaced, and the engine's way, behind another sequence. What then
differs is refused at load, not found in the results: attention that does not come from transformers' interface,
convolutions or states that leak from one sequence into the next, logits that are changed after the head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.scoring import next_logits
from selfedit.errors import SelfeditError

_BEFORE, _LENGTH = 7, 9
"""Tokens of the sequence in front, and of the one that is looked at."""
_BOUND = {torch.bfloat16: 0.25, torch.float16: 0.25}
"""How far apart the two may be, in standard deviations of the logits; 0.001 where numbers are wider."""


@torch.no_grad()
def own_logits(model: Any) -> torch.Tensor:
    """[9, vocabulary] what the untouched model says.

    Raises:
        SelfeditError: it can't even do that, or it convolves over tokens: the leak from one sequence into the next may
            be too small to be seen here.
    """
    if any(isinstance(module, torch.nn.Conv1d) for module in model.modules()):
        raise SelfeditError(f"{type(model).__name__} is not supported (it convolves over tokens)")
    return _tried(model, lambda: model(input_ids=_ids(model)[None, _BEFORE:], use_cache=False).logits[0])


@torch.no_grad()
def admit(model: Any, holder: PlanHolder, own: torch.Tensor) -> None:
    """Compare with what the model says the engine's way.

    Raises:
        SelfeditError: that is something else, or it fails.
    """
    found = _tried(model, lambda: _engine_logits(model, holder))
    apart = ((found - own).double().square().mean(-1).sqrt().amax() / own.double().std()).item()
    if not apart <= _BOUND.get(own.dtype, 1e-3):
        raise SelfeditError(
            f"{type(model).__name__} is not supported: beside other sequences it says something else than alone"
        )


def _engine_logits(model: Any, holder: PlanHolder) -> torch.Tensor:
    """All but the last token in one pack behind another sequence, the last one in a decoding step beside it."""
    ids, device = _ids(model), model.device
    lengths = (_BEFORE, _LENGTH - 1)
    cache = KVCache(rows=2, length=_LENGTH)
    positions = torch.cat([torch.arange(n, device=device) for n in lengths])
    rows = torch.arange(2, device=device)
    of_each = rows.repeat_interleave(torch.tensor(lengths, device=device))
    holder.follow((), device, model.dtype, lengths=lengths, cache=cache, cache_rows=of_each, cache_places=positions)
    kept = torch.arange(_BEFORE, sum(lengths), device=device)
    packed = next_logits(model, ids[None, :-1], positions[None], kept)
    places = torch.tensor(lengths, device=device)
    holder.follow((), device, model.dtype, cache=cache, cache_rows=rows, cache_places=places, longest=_LENGTH)
    step = next_logits(model, ids[[0, -1]][None], places[None], rows)
    return torch.cat([packed, step[1:]])


def _ids(model: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    n_words = model.config.get_text_config().vocab_size
    return torch.randint(n_words, (_BEFORE + _LENGTH,), generator=generator).to(model.device)


def _tried(model: Any, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    try:
        return run()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise SelfeditError(f"{type(model).__name__} is not supported ({reason})") from error
