"""L1. A model's dimensions, from the model or from its config.json alone: weights are neither fetched nor loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.lora.bank import Bank
from selfedit.engine.model.checkpoint import check_files, read_config
from selfedit.engine.model.folders import is_local
from selfedit.engine.model.hub import is_only_cached
from selfedit.engine.model.loading import quiet_transformers
from selfedit.errors import Field, SettingError
from selfedit.sizing import Shape


def shape_of(model: Any, widths: Mapping[str, int]) -> Shape:
    """The dimensions of `model`, whose linear layers are so wide (see `Shape`)."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=inner if isinstance(inner, int) else max(inner),  # Gemma 3n: one for each layer
        vocabulary=config.vocab_size,
        widths=widths,
    )


def read_shape(name: str) -> Shape:
    """The dimensions of the model `name`, a local folder or a hub id. It is built without memory for its weights.

    Raises:
        SelfeditError: there is no such model, or none that transformers builds.
    """
    folder, is_here = name, is_local(name)
    if is_here:
        folder = str(Path(name).expanduser())
        check_files(name, Path(folder))
    is_here = is_here or is_only_cached(name)
    quiet_transformers()
    config = read_config(name, folder, is_here)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        empty = shape_of(model, {})
        layers = Bank(model, PlanHolder()).layers
    except (AttributeError, OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SettingError(Field("model"), f" {name}: its configuration cannot be read ({reason})") from error
    widths: Counter[str] = Counter()
    for path, layer in layers.items():
        widths[path.rpartition(".")[2]] += layer.n_in + layer.n_out
    return replace(empty, widths=dict(widths))
