"""L1. What a model's code does in packs, in decoding steps and in training is tried on a small random copy of it.

The copy's windows, chunks and the like are so short that the texts here pass all of them (see `miniature.py`). What it
says and the gradients of its adapters must be those of the plain model, one text at a time. This takes a tenth of a
second whatever the size of the model itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from selfedit.engine.forward import attention, trunk
from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import Traits
from selfedit.engine.forward.packing import Tokens, pack
from selfedit.engine.forward.scoring import next_logits, token_losses
from selfedit.engine.forward.trunk import Lower, Trunk
from selfedit.engine.lora.bank import Bank, Matrices
from selfedit.errors import SelfeditError

_READ = ((5, 20), (1, 8))
"""Tokens that two texts begin with, and that a second pass adds to each; then come steps."""
_STEPS = 12
_RANK, _SCALE = 2, 0.5
_BOUND = 1e-4
"""How far apart logits and gradients may be, as a share of their size. transformers rounds to float32 on the way, which
makes 1e-6."""
CODE_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What a model's code raises that does not go together with the engine's."""


@dataclass(frozen=True, slots=True)
class Small:
    """The small copy, ready for packs, with what it is by itself."""

    plain: Any
    """As transformers made it."""
    model: Any
    """The same, taken over by the engine."""
    holder: PlanHolder
    """Of the latter."""
    bank: Bank
    """Of the latter."""
    texts: Sequence[torch.Tensor]
    """Two texts, token ids."""


class _Apart(SelfeditError):
    """The two ways differ.

    Args:
        remedy: the trait that could mend it; empty: none.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"beside other texts it {what} than alone")
        self.remedy = remedy


def rehearse(plain: Any) -> Traits:
    """Try a small model; returns what it asks for to be exact.

    Raises:
        SelfeditError: in every way it reads, writes or learns otherwise than by itself; the reason alone.
        Exception: of `CODE_ERRORS`, its code fails.
    """
    traits, first = Traits(), None
    while True:
        try:
            _rehearse_as(plain, traits)
        except (_Apart, *CODE_ERRORS) as error:
            first, remedy = first or error, _remedy(error)
            if not remedy or getattr(traits, remedy):
                raise first from None
            traits = replace(traits, **{remedy: True})
        else:
            return traits


def _remedy(error: Exception) -> str:
    """What may mend it. torch raises a RuntimeError where numbers do not lie as some code expects."""
    if isinstance(error, _Apart):
        return error.remedy
    return "is_row_major" if isinstance(error, RuntimeError) else ""


def _rehearse_as(plain: Any, traits: Traits) -> None:
    small = prepared(plain, traits)
    with torch.no_grad():
        own = [plain(input_ids=text[None], use_cache=False).logits[0] for text in small.texts]
        found = _logits(small)
    if not all(_is_close(a, b) for a, b in zip(found, own, strict=True)):
        raise _Apart("says something else", "is_own_head")
    if not _learns_alike(small, [_random_adapter(small.bank, seed) for seed in (1, 2)]):
        raise _Apart("learns something else")
    if not traits.is_whole and not _skips_alike(small):
        raise _Apart("says something else above its lower layers", "is_whole")


def prepared(plain: Any, traits: Traits) -> Small:
    """A copy of `plain` that the engine has taken over."""
    model, holder = copy.deepcopy(plain), PlanHolder(traits)
    attention.install(model, holder)
    trunk.install(model, holder)
    bank = Bank(model, holder)
    generator = torch.Generator().manual_seed(0)
    n_words = model.config.vocab_size
    texts = [torch.randint(2, n_words, (sum(n) + _STEPS,), generator=generator) for n in zip(*_READ, strict=True)]
    return Small(plain, model, holder, bank, texts)


def _logits(small: Small) -> list[torch.Tensor]:
    """[T, vocabulary] what each text's tokens are followed by: some read in a pack, more in a second one on top of what
    is cached, the rest in steps."""
    cache = KVCache(rows=2, length=max(map(len, small.texts)))
    parts: list[list[torch.Tensor]] = [[], []]
    done: tuple[int, ...] = (0, 0)
    for added in _READ:
        upto = tuple(a + b for a, b in zip(done, added, strict=True))
        read = [text[a:b] for text, a, b in zip(small.texts, done, upto, strict=True)]
        _keep(parts, _read(small, cache, read, done), added)
        done = upto
    for step in range(_STEPS):
        places = torch.tensor([n + step for n in done])
        ids = torch.stack([text[place] for text, place in zip(small.texts, places, strict=True)])
        longest = int(places.max()) + 1
        rows = torch.arange(2)
        _follow(small, cache=cache, cache_rows=rows, cache_places=places, longest=longest)
        _keep(parts, next_logits(small.model, small.holder, ids[None], places[None], rows), (1, 1))
    return [torch.cat(part) for part in parts]


def _read(small: Small, cache: KVCache, read: Sequence[torch.Tensor], done: Sequence[int]) -> torch.Tensor:
    tokens = [Tokens(tuple(ids.tolist()), 1) for ids in read]
    packed = pack(tokens, [-1, -1], small.model.device, done)
    rows = torch.repeat_interleave(torch.arange(2), torch.tensor(packed.lengths))
    starts = tuple(enumerate(done)) if any(done) else ()
    places = packed.positions[0]
    _follow(small, lengths=packed.lengths, cache=cache, cache_rows=rows, cache_places=places, starts=starts)
    return next_logits(small.model, small.holder, packed.ids, packed.positions, torch.arange(len(places)))


def _follow(small: Small, **plan: Any) -> None:
    small.holder.follow((), small.model.device, small.model.dtype, **plan)


def _keep(parts: list[list[torch.Tensor]], logits: torch.Tensor, lengths: Sequence[int]) -> None:
    for part, own in zip(parts, logits.split(list(lengths)), strict=True):
        part.append(own)


def _random_adapter(bank: Bank, seed: int) -> Matrices:
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator).to(bank.dtype) / columns**0.5

    return {name: (draw(_RANK, layer.n_in), draw(layer.n_out, _RANK)) for name, layer in bank.layers.items()}


def _learns_alike(small: Small, adapters: Sequence[Matrices]) -> bool:
    """Whether two adapters, each in its slot, get the gradients that each has alone."""
    short, long = small.texts
    jobs = [[long], [short, long[:9]]]
    found = _bank_gradients(small, adapters, jobs)
    wanted = [_gradients(small, matrices, job) for matrices, job in zip(adapters, jobs, strict=True)]
    return all(
        _is_close(mine[name][part], both[part], floor=1e-3)
        for mine, own in zip(found, wanted, strict=True)
        for name, both in own.items()
        for part in (0, 1)
    )


def _bank_gradients(
    small: Small, adapters: Sequence[Matrices], jobs: Sequence[Sequence[torch.Tensor]]
) -> list[Matrices]:
    bank = small.bank
    bank.allocate(len(adapters), _RANK, list(bank.layers))
    for slot, matrices in enumerate(adapters):
        bank.load_matrices(slot, matrices)
        bank.scales[slot] = _SCALE
    texts = [Tokens(tuple(ids.tolist()), 1) for job in jobs for ids in job]
    slots = [slot for slot, job in enumerate(jobs) for _ in job]
    packed = pack(texts, slots, bank.device)
    counts = [sum(len(ids) - 1 for ids in job) for job in jobs]
    weights = torch.cat([torch.full((packed.loss_counts[at],), 1 / counts[slot]) for at, slot in enumerate(slots)])
    losses = token_losses(small.model, small.holder, packed)
    losses.backward(weights.to(losses))
    return [bank.matrices(bank.grads[slot], _RANK) for slot in range(len(adapters))]


@torch.no_grad()
def _skips_alike(small: Small) -> bool:
    """Whether the losses are the same where the lowest layer was passed before."""
    texts = [Tokens(tuple(ids.tolist()), 1) for ids in small.texts]
    packed = pack(texts, [-1, -1], small.model.device)
    lower = Lower(Trunk(small.model, small.holder, 2**20), 1, 2**10)
    whole = token_losses(small.model, small.holder, packed)
    try:
        return _is_close(token_losses(small.model, small.holder, packed, **lower.plan_fields(texts)), whole)
    except CODE_ERRORS:
        return False


def _gradients(small: Small, matrices: Matrices, job: Sequence[torch.Tensor]) -> Matrices:
    """Of one adapter, by its merged weights in the plain model: one text a pass."""
    model = copy.deepcopy(small.plain)
    weights = {}
    for name, (a, b) in matrices.items():
        weights[name] = model.get_submodule(name).weight
        change = _SCALE * b @ a
        weights[name].data += change.t() if small.bank.layers[name].is_transposed else change
        weights[name].requires_grad_()
    logits = torch.cat([model(input_ids=ids[None], use_cache=False).logits[0, :-1] for ids in job])
    cross_entropy(logits, torch.cat([ids[1:] for ids in job])).backward()
    found = {}
    for name, (a, b) in matrices.items():
        grad = weights[name].grad
        grad = torch.zeros_like(weights[name]) if grad is None else grad
        grad = grad.t() if small.bank.layers[name].is_transposed else grad
        found[name] = (_SCALE * b.t() @ grad, _SCALE * grad @ a.t())
    return found


def _is_close(found: torch.Tensor, wanted: torch.Tensor, floor: float = 0.0) -> bool:
    size = wanted.double().norm().clamp_min(floor)
    return bool((found - wanted).double().norm() <= _BOUND * size)
