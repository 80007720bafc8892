"""L1. Mixture-of-experts models: what of them adapters can sit on.

transformers holds a layer's experts in fused tensors, which are no linear layers. PEFT takes the names that experts had
before (`gate_proj`, `w1`, …) for those tensors, also where a dense or shared layer is meant: an adapter on such a layer
would be another one when PEFT reads it. These layers stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from peft import LoraConfig
from torch import nn

from selfedit.engine.forward.body import body


def is_mixture(model: nn.Module) -> bool:
    """Whether the part of the model that reads text has fused experts."""
    return any(parameter.ndim == 3 for parameter in body(model).parameters())


def taken_for_experts(model: nn.Module, names: Iterable[str]) -> set[str]:
    """Those layers' names that PEFT, on this model, takes for something else."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers as convert
    except ImportError:  # before PEFT knew of fused experts
        return set()
    return {name for name in names if not _is_kept(convert, model, name)}


def _is_kept(convert, model, name) -> bool:
    config = LoraConfig(target_modules=[name])
    try:
        convert(config, model, None)
    except ValueError:  # it wants others along with this one
        return False
    kept: Collection[str] = config.target_modules or ()
    return name in kept
