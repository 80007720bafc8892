"""L1. The layers that carry no adapters, passed once per sequence instead of once per step.

With adapters on the upper layers only, what comes out of the layers below does not depend on any adapter. Each distinct
sequence of a group passes this trunk once for all epochs, candidates and seeds; training and scoring start above it,
and the backward pass ends there.

1. A decoder layer's own `forward` is replaced by one that looks at the plan: it hands the trunk's output on, stops
   above the trunk, or runs the layer as it was. Any model whose decoder layers sit in one list runs so unchanged.
2. Where memory is short, the same place recomputes a layer in the backward pass instead of keeping what it made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.body import body, inputs
from selfedit.engine.forward.packing import Tokens, batches_of, pack
from selfedit.errors import SelfeditError


def decoder_layers(model: Any) -> list[Any]:
    """The model's decoder layers, from the bottom.

    Raises:
        SelfeditError: they do not sit in one list of the configured length.
    """
    lists = [(path, m) for path, m in body(model).named_modules() if isinstance(m, nn.ModuleList)]
    wanted = model.config.get_text_config().num_hidden_layers
    fitting = [(path.count("."), m) for path, m in lists if len(m) == wanted]
    if not fitting:
        raise SelfeditError("no list of decoder layers found in it")
    return list(min(fitting, key=lambda found: found[0])[1])  # encoders of pictures and sounds lie deeper


def install(model: Any, holder: PlanHolder) -> int:
    """Make the decoder layers follow the plan; returns how many there are."""
    layers = decoder_layers(model)
    for index, layer in enumerate(layers):
        layer.forward = partial(_forward, layer.forward, holder, index)
    return len(layers)


def layer_indices(model: Any, names: Iterable[str]) -> dict[str, int]:
    """The decoder layer that each module is part of, from 0 at the bottom; above all where it is part of none."""
    layers = decoder_layers(model)
    index_of = {id(layer): index for index, layer in enumerate(layers)}
    index_at = {path + ".": index_of[id(m)] for path, m in model.named_modules() if id(m) in index_of}
    return {name: next((i for path, i in index_at.items() if name.startswith(path)), len(layers)) for name in names}


def _forward(run: Any, holder: PlanHolder, index: int, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    plan = holder.plan
    if plan.trunk is not None and index < plan.trunk_layers:
        return plan.trunk
    if plan.is_trunk_only and index >= plan.trunk_layers:
        if index == plan.trunk_layers:
            plan.captured = hidden
        return hidden
    if holder.is_recomputed and torch.is_grad_enabled():
        return checkpoint(run, hidden, *args, use_reentrant=False, **kwargs)
    return run(hidden, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Lower:
    """The layers below the adapters, for one kind of adapter."""

    trunk: Trunk
    """Where their output is kept."""
    n_layers: int
    """How many they are; 0 where adapters sit on all layers."""
    max_tokens: int
    """Most tokens in one forward pass."""

    def plan_fields(self, sequences: Sequence[Tokens]) -> dict[str, Any]:
        """What a plan needs for a pass over these sequences."""
        if not self.n_layers:
            return {}
        rows = self.trunk.rows(sequences, self.n_layers, self.max_tokens)
        return {"trunk": rows, "trunk_layers": self.n_layers}


class Trunk:
    """What comes out of the lowest layers, by sequence: [T, hidden] in the base's dtype.

    Args:
        max_bytes: beyond this, what was used longest ago is forgotten and computed again when needed.
    """

    def __init__(self, model: Any, holder: PlanHolder, max_bytes: int) -> None:
        self.model, self.holder, self.max_bytes = model, holder, max_bytes
        self.hidden: OrderedDict[tuple[int, tuple[int, ...]], torch.Tensor] = OrderedDict()
        self.bytes = 0

    def clear(self) -> None:
        """Forget everything: the policy beneath has changed, or a group is over."""
        self.hidden.clear()
        self.bytes = 0

    def rows(self, sequences: Sequence[Tokens], n_layers: int, max_tokens: int) -> torch.Tensor:
        """[1, T, hidden]: the output of the lowest `n_layers` for these sequences, side by side."""
        missing = list({t.ids: t for t in sequences if (n_layers, t.ids) not in self.hidden}.values())
        found = {t.ids: self.hidden[n_layers, t.ids] for t in sequences if (n_layers, t.ids) in self.hidden}
        for chunk in batches_of(missing, range(len(missing)), max_tokens):
            found.update(self._compute([missing[i] for i in chunk], n_layers))
        for t in sequences:
            self._keep((n_layers, t.ids), found[t.ids])
        return torch.cat([found[t.ids] for t in sequences])[None]

    @torch.no_grad()
    def _compute(self, sequences: Sequence[Tokens], n_layers: int) -> dict[tuple[int, ...], torch.Tensor]:
        packed = pack(sequences, [-1] * len(sequences), self.model.device)
        self.holder.follow(
            (), self.model.device, self.model.dtype, lengths=packed.lengths, trunk_layers=n_layers, is_trunk_only=True
        )
        body(self.model)(**inputs(packed.ids, packed.positions))
        captured = self.holder.plan.captured
        assert captured is not None
        parts = captured[0].split(packed.lengths)
        return {sequences[owner].ids: part.clone() for owner, part in zip(packed.owners, parts, strict=True)}

    def _keep(self, key: tuple[int, tuple[int, ...]], hidden: torch.Tensor) -> None:
        if key not in self.hidden:
            self.hidden[key] = hidden
            self.bytes += hidden.nbytes
        self.hidden.move_to_end(key)
        while self.bytes > self.max_bytes and len(self.hidden) > 1:
            self.bytes -= self.hidden.popitem(last=False)[1].nbytes
