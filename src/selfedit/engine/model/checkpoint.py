"""L1. A checkpoint becomes a model that has all of its own weights, or is refused in one line.

transformers draws at random what a file lacks, warns and goes on; what a run then measures looks like any other. So the
report that it makes while loading decides here, and so do the values: numbers that are none, matrices of zeros.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, TemplateError
from safetensors import SafetensorError, safe_open
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from selfedit.engine.model.bounds import longest_context
from selfedit.engine.model.folders import refusal
from selfedit.engine.model.tokenization import NO_THINKING
from selfedit.errors import SettingError
from selfedit.shortage import is_out_of_memory

_BUFFERS = ("inv_freq", "masked_bias")
"""Endings of what older checkpoints hold and newer code computes."""
_SENSES = re.compile(r"(^|\.)(vision|visual|image|multi_?modal|audio|speech|sound)")
"""In names of what a model has for pictures and sounds."""
_FLOATS = {"F64", "F32", "F16", "BF16"}
_TEXTS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_ASKED = "What is asked?"
TEMPLATE_SECONDS = 5.0
"""Most that a chat template may take for a question of three words."""
_POINTER = b"version https://git-lfs"


def load_checkpoint(name: str, folder: str, dtype: torch.dtype, is_local: bool) -> PreTrainedModel:
    """The model in `folder`, a local one or a hub id, with the weights that its files hold. `name`: as asked for.

    Raises:
        SettingError: it cannot be loaded, is quantised, or lacks weights.
    """
    config = read_config(name, folder, is_local)
    if Path(folder).is_dir():
        _check_layers(name, Path(folder), config)
    given: dict[str, Any] = {"trust_remote_code": False, "local_files_only": is_local}
    given |= {"dtype": dtype, "use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    model, report = loaded(name, lambda: AutoModelForCausalLM.from_pretrained(folder, **given))
    is_part = not isinstance(model.config, type(config))
    _check_report(name, report, is_part)
    _check_values(name, model)
    assert isinstance(model, PreTrainedModel)
    return model


def read_config(name: str, folder: str, is_local: bool) -> PreTrainedConfig:
    """The config alone.

    Raises:
        SettingError: it cannot be read, says that the weights are quantised, or leaves texts no token.
    """
    given: dict[str, Any] = {"trust_remote_code": False, "local_files_only": is_local}
    config = loaded(name, lambda: AutoConfig.from_pretrained(folder, **given))
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        told = f"is a {config.model_type} model, of which transformers has no causal language model"
        raise refusal(name, told, "take a causal language model")
    for part in (config, loaded(name, config.get_text_config)):
        for field in ("quantization_config", "compression_config"):
            if quantised := getattr(part, field, None):
                raise _quantised(name, _method(quantised))
    assert isinstance(config, PreTrainedConfig)
    if loaded(name, lambda: longest_context(config)[0]) < 1:
        told = "its config.json leaves texts no token (max_position_embeddings and the like)"
        raise refusal(name, told, "mend that file")
    return config


def _method(quantised: Any) -> str:
    """How, as far as its settings say."""
    settings = quantised if isinstance(quantised, dict) else getattr(quantised, "__dict__", {})
    if method := settings.get("quant_method"):
        return str(method).rpartition(".")[2].lower()
    return "bitsandbytes" if any(str(key).startswith("load_in_") for key in settings) else "in a way it does not name"


def _quantised(name: str, method: str) -> SettingError:
    return refusal(name, f"is quantised ({method})", "take it in full precision")


def loaded(name: str, load: Callable[[], Any], part: str = "") -> Any:
    """What `load` returns; whatever a folder from elsewhere makes it raise, as one line. `part`: what of the model that
    is.

    Raises:
        SettingError: the one line. Running out of memory is no fault of the folder, and stays what it is.
    """
    try:
        return load()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        known = "use smollm2-135m, a folder with safetensors, or a hub id"
        raise refusal(name, f"{part}cannot be loaded ({reason})", known) from error


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
        raise refusal(name, told, "take a tokenizer and a model that belong together")
    ends = _end_tokens(name, model, rows)
    if tokenizer.eos_token_id is None:
        if not ends or ends[0] > highest:
            raise refusal(name, "neither its tokenizer nor its config names an end token", "name one: eos_token")
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    elif not _is_known(tokenizer, str(tokenizer.eos_token)):
        told = f"its tokenizer.json has no end token {tokenizer.eos_token}, which its tokenizer_config.json names"
        raise refusal(name, told, "name one that it has: eos_token")
    if tokenizer.chat_template:
        _check_template(name, tokenizer)


def _is_known(tokenizer: PreTrainedTokenizerBase, token: str) -> bool:
    """False where transformers made up a number for a token that the tokenizer's file lacks; the model never saw it."""
    raw = getattr(tokenizer, "backend_tokenizer", None)
    path = Path(tokenizer.name_or_path) / "tokenizer.json"
    if raw is None or not path.is_file() or raw.get_vocab(with_added_tokens=False).get(token) is not None:
        return True
    added = json.loads(path.read_text(encoding="utf-8")).get("added_tokens") or []
    return any(entry.get("content") == token for entry in added)


def _end_tokens(name: str, model: PreTrainedModel, rows: int) -> list[int]:
    """Those that the model itself names."""
    named: Any = model.generation_config.eos_token_id if model.generation_config else None
    ends = [] if named is None else list(named) if isinstance(named, (list, tuple)) else [named]
    for end in ends:
        if not 0 <= end < rows:
            told = f"its end token {end} lies beyond its {rows} embeddings"
            raise refusal(name, told, "mend eos_token_id in config.json and generation_config.json")
    return ends


def _check_template(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    mend = "mend its chat_template, or take that away"
    templates = tokenizer.chat_template
    if isinstance(templates, dict) and "default" not in templates:
        told = f"it has several chat templates ({', '.join(sorted(templates))}) and none called default"
        raise refusal(name, told, "call one of them default")
    try:
        if ("operator", "**") in {piece[1:] for piece in Environment().lex(tokenizer.get_chat_template())}:
            raise ValueError("it computes powers")  # these would be worked out before anything can stop them
        text = _rendered(tokenizer, "user")
        for roles in (("system", "user"), ("user", "assistant", "user")):
            with suppress(TemplateError, LookupError, TypeError, ValueError):  # a template need not take these roles
                _rendered(tokenizer, *roles)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise refusal(name, f"its chat template cannot be used ({reason})", mend) from error
    if _ASKED not in text:
        raise refusal(name, "its chat template drops what it is given (it may want content in parts)", mend)


def _rendered(tokenizer: PreTrainedTokenizerBase, *roles: str) -> str:
    """What the template makes of these turns.

    Raises:
        TimeoutError: it does not come to an end.
    """
    turns = [{"role": role, "content": _ASKED} for role in roles]
    end, before = time.monotonic() + TEMPLATE_SECONDS, sys.gettrace()

    def watch(*_: object) -> Any:
        if time.monotonic() > end:
            raise TimeoutError(f"it takes more than {TEMPLATE_SECONDS:g} seconds")
        return watch

    sys.settrace(watch)  # sees each line of the template, in whatever thread this is; a signal would need the main one
    try:
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **NO_THINKING))
    finally:
        sys.settrace(before)


def check_files(name: str, folder: Path) -> None:
    """What lies in a folder under the name of a config or of weights must be one.

    Raises:
        SettingError: it is something else; each kind with what to do about it.
    """
    _check_texts(name, folder)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(_POINTER):
            raise refusal(name, f"{path.name} is a Git LFS pointer, not weights", "fetch them with `git lfs pull`")
        if head.lstrip()[:1] in (b"<", b"{") and b"\0" not in head:
            raise refusal(name, f"{path.name} is a text, not weights", "download it again")
        try:
            with safe_open(path, "pt") as tensors:
                weights = [key for key in list(tensors.keys()) if key.endswith("weight")]
                kinds = {tensors.get_slice(key).get_dtype() for key in weights}
        except SafetensorError as error:
            raise refusal(name, f"{path.name} is damaged ({error})", "download it again") from error
        if narrow := sorted(kinds - _FLOATS):
            raise _quantised(name, f"{path.name} holds {narrow[0]}")


def _check_texts(name: str, folder: Path) -> None:
    for path in sorted({folder / "config.json", *(folder / file for file in _TEXTS if (folder / file).is_file())}):
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            held = None
        if not isinstance(held, dict):
            raise refusal(name, f"{path.name} is no JSON object", "save the model again, or download that file again")
        if (quantised := held.get("quantization_config")) is not None:
            raise _quantised(name, _method(quantised))
        for key, value in held.items():
            if key.endswith("_token_id") and not _is_token_id(value):
                raise refusal(name, f"{path.name}: {key} is {value!r}, not a number", "mend that file")


def _is_token_id(value: Any) -> bool:
    """Whether a config may say so of a token: a number, several, or none."""
    return value is None or all(type(one) is int for one in (value if isinstance(value, list) else [value]))


def _check_layers(name: str, folder: Path, config: PreTrainedConfig) -> None:
    """Each layer has a tensor at least. transformers would first build what the config says, for minutes."""
    said = getattr(config.get_text_config(), "num_hidden_layers", 0)
    held = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            held += len(list(tensors.keys()))
    if said > held:
        told = f"config.json says {said} layers, and its files hold {held} tensors"
        raise refusal(name, told, "take a config and weights that belong together")


def _check_report(name: str, report: dict[str, Any], is_part: bool) -> None:
    """`is_part`: only what reads text was loaded, of a model that sees or hears too (Llama 4)."""
    mismatched = [key[0] if isinstance(key, tuple) else key for key in report.get("mismatched_keys", ())]
    surplus = [key for key in report.get("unexpected_keys", ()) if not key.endswith(_BUFFERS)]
    if is_part:
        surplus = [key for key in surplus if not _SENSES.search(key)]
    lacks = {"lacks": report.get("missing_keys", ()), "has of another size": mismatched, "has beside them": surplus}
    told = ", ".join(f"{what} {_listed(keys)}" for what, keys in lacks.items() if keys)
    if told or report.get("error_msgs"):
        why = told or str(report["error_msgs"][0])[:200]
        raise refusal(
            name, f"its files are not the weights that its config.json describes: it {why}", "mend the folder"
        )


def _check_values(name: str, model: torch.nn.Module) -> None:
    for key, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise refusal(name, f"{key} holds numbers that are not finite", "download it again")
        if weights.ndim > 1 and not key.endswith("bias") and not weights.any():
            raise refusal(name, f"{key} is all zeros", "download it again")


def _listed(keys: Iterable[str]) -> str:
    first, *others = sorted(keys)
    return f"{first} and {len(others)} more" if others else first
