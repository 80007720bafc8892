"""L1. A checkpoint becomes a model that has all of its own weights, or is refused in one line.

transformers draws at random what a file lacks, warns and goes on; what a run then measures looks like any other. So the
report that it makes while loading decides here, and so do the values: numbers that are none, matrices of zeros.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from selfedit.errors import Field, SettingError

_BUFFERS = ("inv_freq", "masked_bias")
"""Endings of what older checkpoints hold and newer code computes."""
_ASKED = "What is asked?"
_POINTER = b"version https://git-lfs"


def load_checkpoint(name: str, folder: str, dtype: torch.dtype, is_local: bool) -> PreTrainedModel:
    """The model in `folder`, a local one or a hub id, with the weights that its files hold. `name`: as asked for.

    Raises:
        SettingError: it cannot be loaded, is quantised, or lacks weights.
    """
    given: dict[str, Any] = {"trust_remote_code": False, "local_files_only": is_local}
    config = loaded(name, lambda: AutoConfig.from_pretrained(folder, **given))
    if quantised := getattr(config, "quantization_config", None):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
        raise _refused(name, f"is quantised ({str(method).rpartition('.')[2].lower()})", "take it in full precision")
    given |= {"dtype": dtype, "use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    model, report = loaded(name, lambda: AutoModelForCausalLM.from_pretrained(folder, **given))
    _check_report(name, report)
    _check_values(name, model)
    assert isinstance(model, PreTrainedModel)
    return model


def loaded(name: str, load: Any) -> Any:
    """What `load` returns; whatever a folder from elsewhere makes it raise, as one line."""
    try:
        return load()
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        known = "use smollm2-135m, a folder with safetensors, or a hub id"
        raise _refused(name, f"cannot be loaded ({reason})", known) from error


def check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """The tokenizer must fit the model: no token without an embedding, an end token (the model's own where the
    tokenizer names none), and a chat template that can be used and leaves in what it is given.

    Raises:
        SettingError: it does not.
    """
    embeddings: Any = model.get_input_embeddings()
    rows = len(embeddings.weight)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        told = f"its tokenizer has {highest + 1} tokens, the model {rows} embeddings"
        raise _refused(name, told, "take a tokenizer and a model that belong together")
    if tokenizer.eos_token_id is None:
        ends = model.generation_config.eos_token_id if model.generation_config else None
        end = ends[0] if isinstance(ends, list) and ends else ends
        if not isinstance(end, int) or not 0 <= end <= highest:
            raise _refused(name, "neither its tokenizer nor its config names an end token", "name one: eos_token")
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.chat_template:
        _check_template(name, tokenizer)


def _check_template(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    mend = "mend its chat_template, or take that away"
    turns = [{"role": "user", "content": _ASKED}]
    try:
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise _refused(name, f"its chat template cannot be used ({reason})", mend) from error
    if _ASKED not in str(text):
        raise _refused(name, "its chat template drops what it is given (it may want content in parts)", mend)


def _refused(name: str, told: str, mend: str) -> SettingError:
    return SettingError(Field("model"), f" {name}: {told}; {mend}")


def check_files(name: str, folder: Path) -> None:
    """What lies in a folder under the name of a config or of weights must be one.

    Raises:
        SettingError: it is something else; each kind with what to do about it.
    """
    try:
        is_object = isinstance(json.loads((folder / "config.json").read_text(encoding="utf-8")), dict)
    except (OSError, ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise _refused(name, "config.json is no JSON object", "save the model again, or download that file again")
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(_POINTER):
            raise _refused(name, f"{path.name} is a Git LFS pointer, not weights", "fetch them with `git lfs pull`")
        if head.lstrip()[:1] in (b"<", b"{") and b"\0" not in head:
            raise _refused(name, f"{path.name} is a text, not weights", "download it again")
        try:
            with safe_open(path, "pt"):
                continue
        except SafetensorError as error:
            raise _refused(name, f"{path.name} is damaged ({error})", "download it again") from error


def _check_report(name: str, report: dict[str, Any]) -> None:
    mismatched = [key[0] if isinstance(key, tuple) else key for key in report.get("mismatched_keys", ())]
    surplus = [key for key in report.get("unexpected_keys", ()) if not key.endswith(_BUFFERS)]
    lacks = {"lacks": report.get("missing_keys", ()), "has of another size": mismatched, "has beside them": surplus}
    told = ", ".join(f"{what} {_listed(keys)}" for what, keys in lacks.items() if keys)
    if told or report.get("error_msgs"):
        why = told or str(report["error_msgs"][0])[:200]
        raise _refused(
            name, f"its files are not the weights that its config.json describes: it {why}", "mend the folder"
        )


def _check_values(name: str, model: torch.nn.Module) -> None:
    for key, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise _refused(name, f"{key} holds numbers that are not finite", "download it again")
        if weights.ndim > 1 and not key.endswith("bias") and not weights.any():
            raise _refused(name, f"{key} is all zeros", "download it again")


def _listed(keys: Iterable[str]) -> str:
    first, *others = sorted(keys)
    return f"{first} and {len(others)} more" if others else first
