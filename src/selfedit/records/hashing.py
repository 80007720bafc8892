"""L0. Records as JSON, and keys: the same content has the same key on every machine and in every version.

A key is made of names and values. The names are the key's own and are listed here, so that a field can be renamed or
added without a key changing that was stored before. A field that came later is left out of a key while it has its
default. Who makes keys otherwise raises `store.run_folder.SCHEMA`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from selfedit.records.data import Context, Question
from selfedit.records.generation import Prompt, SamplingParams
from selfedit.records.stages import Stage
from selfedit.records.training import Example, Query, TrainingConfig, TrialSpec


@dataclass(frozen=True, slots=True)
class KeyFields:
    """What of a record goes into a key."""

    always: Mapping[str, str]
    """Name in the key → field."""
    unless_default: Mapping[str, str]
    """The same for fields that came later."""


def _key(always: str, unless_default: str = "") -> KeyFields:
    """From `name=field` or `name` where both are the same."""

    def pairs(text: str) -> dict[str, str]:
        return {name: field or name for name, _, field in (word.partition("=") for word in text.split())}

    return KeyFields(pairs(always), pairs(unless_default))


KEY_FIELDS: Mapping[type, KeyFields] = {
    Question: _key("id question answer"),
    Context: _key("id title text questions"),
    Prompt: _key("text opening=prefill plain=raw json_schema", "system before=history is_spelled=char_tokens"),
    SamplingParams: _key("temperature top_p max_new_tokens"),
    Example: _key("completion prompt", "teacher learnt=loss_on is_anchored in_epoch"),
    Query: _key("question_id question gold prompt max_new_tokens is_one_line"),
    TrainingConfig: _key(
        "rank alpha targets=target_modules adapt_layers=top_layers learning_rate schedule=lr_schedule warmup_steps"
        " epochs batch_size weight_decay clip=max_grad_norm",
        "finetuning=method budget skip_above",
    ),
    TrialSpec: _key("examples asks=queries", "settings=training"),
}
"""Every record that keys are made of."""


def digest(*parts: Any) -> str:
    """SHA-256 of the canonical JSON of `parts`, 24 hex digits.

    Raises:
        TypeError: a record that is not listed in `KEY_FIELDS`.
    """
    text = json.dumps(_keyed(parts), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    encoded = text.encode(errors="surrogatepass")  # a path need not be UTF-8
    return hashlib.sha256(encoded).hexdigest()[:24]


def to_json(record: Any) -> Any:
    """A record (or a list, tuple or dict of them) as plain JSON values; a stage as its name."""
    if isinstance(record, Stage):
        return record.name
    if is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in fields(record)}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {name: to_json(value) for name, value in record.items()}
    return record


def _keyed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_keyed(item) for item in value]
    if isinstance(value, dict):
        return {name: _keyed(item) for name, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    if type(value) not in KEY_FIELDS:
        raise TypeError(f"{type(value).__name__} is no part of keys; list it in KEY_FIELDS")
    listed = KEY_FIELDS[type(value)]
    defaults = {field.name: field.default for field in fields(value)}
    later = {name: field for name, field in listed.unless_default.items() if getattr(value, field) != defaults[field]}
    return {name: _keyed(getattr(value, field)) for name, field in {**listed.always, **later}.items()}
