"""L1. A model is taken only if it says, and learns, in packs and decoding steps what it does by itself.

1. A small random copy of its architecture reads, writes and learns in both ways (see `rehearsal.py`), past every window
   and chunk.
2. A few tokens pass the model itself twice: before anything in it is replaced, and the engine's way, behind another
   sequence.

What then differs is refused at load, not found in the results: attention that does not come from transformers'
interface, convolutions or states that leak from one sequence into the next, places that are counted in the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import Traits
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.model.miniature import miniature
from selfedit.engine.model.rehearsal import CODE_ERRORS, rehearse
from selfedit.errors import SelfeditError

T = TypeVar("T")
_BEFORE, _LENGTH = 7, 9
"""Tokens of the sequence in front, and of the one that is looked at."""
_BOUND = {torch.bfloat16: 0.25, torch.float16: 0.25}
"""How far apart the two may be, in standard deviations of the logits; 0.001 where numbers are wider."""
_KNOWN = "take a Llama, Qwen, Mistral, Gemma, Phi, OLMo or GPT-OSS model"
_INSTEAD = {
    "bloom": "GPT-2, Pythia (GPT-NeoX) and OPT work",
    "falcon": "Falcon 3 models are Llamas and work",
    "falcon_h1": "Falcon 3 models are Llamas and work",
    "gpt_neo": "Pythia (GPT-NeoX) works",
    "gptj": "Pythia (GPT-NeoX) works",
    "mpt": "OLMo and Llama work",
    "codegen": "StarCoder 2 works",
    "deepseek_v32": "DeepSeek V3 works",
    "deepseek_v4": "DeepSeek V3 works",
    "glm_moe_dsa": "GLM 4.5 (glm4_moe) works",
    "granitemoehybrid": "Granite 3 (granite, granitemoe) works",
    "lfm2": "Llama and Qwen 3 work",
    "olmo_hybrid": "OLMo 2 and 3 work",
    "qwen3_next": "Qwen 3 (qwen3, qwen3_moe) works",
    "qwen3_5": "Qwen 3 (qwen3, qwen3_moe) works",
    "qwen3_5_text": "Qwen 3 (qwen3, qwen3_moe) works",
    "qwen3_5_moe": "Qwen 3 (qwen3, qwen3_moe) works",
    "qwen3_5_moe_text": "Qwen 3 (qwen3, qwen3_moe) works",
    "minimax": "MiniMax M2 works",
    "jamba": "Llama, Qwen 3 and Mixtral work",
    "mamba": "Llama and Qwen 3 work",
    "mamba2": "Llama and Qwen 3 work",
    "nemotron_h": "Nemotron (nemotron) works",
}
"""What to take instead of models that people ask for; for others `_KNOWN`."""


def traits_of(model: Any) -> Traits:
    """What the model's architecture asks for, found on a small copy.

    Raises:
        SelfeditError: it can't be run in packs exactly, or it convolves over tokens: the leak from one sequence into
            the next may be too small to be seen.
    """
    layers = _tried(model, lambda: decoder_layers(model))
    if any(isinstance(module, torch.nn.Conv1d) for layer in layers for module in layer.modules()):
        raise _refusal(model, "it convolves over tokens")
    try:
        small = miniature(model)
    except Exception as error:  # its config's own checks, or whatever its code makes of small numbers
        raise _refusal(model, f"no small copy of it can be made to try it on ({_first_line(error)})") from error
    return _tried(model, lambda: rehearse(small))


@torch.no_grad()
def own_logits(model: Any) -> torch.Tensor:
    """[9, vocabulary] what the untouched model says, by transformers' plain attention: its faster ones leave out what
    they don't know (caps, sinks).

    Raises:
        SelfeditError: it can't even do that.
    """
    model.set_attn_implementation("eager")
    if model.dtype == torch.float64 and model._can_set_experts_implementation():
        model.set_experts_implementation("eager")  # the faster products of experts know no float64
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
        raise _refusal(model, "beside other texts it says something else than alone")


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
    packed = next_logits(model, holder, ids[None, :-1], positions[None], kept)
    places = torch.tensor(lengths, device=device)
    holder.follow((), device, model.dtype, cache=cache, cache_rows=rows, cache_places=places, longest=_LENGTH)
    step = next_logits(model, holder, ids[[0, -1]][None], places[None], rows)
    return torch.cat([packed, step[1:]])


def _ids(model: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    n_words = model.config.get_text_config().vocab_size
    return torch.randint(n_words, (_BEFORE + _LENGTH,), generator=generator).to(model.device)


def _tried(model: Any, run: Callable[[], T]) -> T:
    try:
        return run()
    except SelfeditError as error:
        raise _refusal(model, str(error)) from error
    except CODE_ERRORS as error:
        raise _refusal(model, _told(error)) from error


def _told(error: Exception) -> str:
    reason = _first_line(error)
    if "Rule" in reason:
        return "it computes with its attention mask"
    return f"its code does not run in packs ({reason})"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _refusal(model: Any, reason: str) -> SelfeditError:
    kind = model.config.get_text_config().model_type
    if not type(model)._can_set_attn_implementation():
        reason = "its attention is code of its own, not transformers' interface"
    return SelfeditError(f"{type(model).__name__} is not supported: {reason}; {_INSTEAD.get(kind, _KNOWN)}")
