"""L2. Directives: the self-edit of a puzzle, a JSON object that chooses augmentations and training settings.

`published` is SEAL's schema (appendix A) with bounds; `extended` is ours: the learning rate and the epochs are chosen
among those that can be of use, and the adapter's rank and the number of training sequences are chosen too.

Departures from the paper:

1. What does not fit is refused with a reason. The released code takes "false" for true and NaN for a learning rate,
   draws again for ever on broken JSON, and trains nothing at all on an unknown strategy.
2. They may be written under a JSON grammar, so that none is invalid.
3. The request says what the settings are, and for `extended` what they do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from selfedit.edits.plans import object_schema
from selfedit.errors import InvalidEdit
from selfedit.records import Prompt
from selfedit.tasks.arc.grids import Grid, Pair
from selfedit.thinking import spoken

Kind = Literal["published", "extended"]
"""Which directives there are."""
ALL_TOKENS = "train_using_all_tokens"
"""The strategy that learns inputs too."""
OUTPUT_TOKENS = "train_using_output_tokens"
"""The strategy that learns outputs alone."""
_STRATEGIES = Literal["train_using_all_tokens", "train_using_output_tokens"]
_SHOWN_CELLS = 1500
"""Demonstrations beyond so many cells are not shown to the writer."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class DataGeneration(_Strict):
    """Which families of augmentations are used."""

    use_basic_augmentations: bool
    """Rotations, flips, reflections, shifts, transposition."""
    use_size_augmentations: bool
    """Stretched rows, columns or both."""
    use_chain_augmentations: bool
    """A turn, then a stretch."""
    use_repeat_augmentations: bool
    """Tiled rows, columns or both."""


class Training(_Strict):
    """How the adapter is trained."""

    strategy: _STRATEGIES
    """What carries loss."""
    learning_rate: Annotated[float, Field(ge=1e-6, le=1e-2)]
    """Peak learning rate."""
    num_train_epochs: Annotated[int, Field(ge=1, le=10)]
    """Passes over the examples."""


class ExtendedTraining(Training):
    """How the adapter is trained, of what can be of use."""

    rank: int
    """LoRA rank."""
    views: int
    """Training sequences: the demonstrations, each time seen otherwise."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(f'{value:g}' for value in allowed)}")
        return self


class Directives(_Strict):
    """The published self-edit."""

    data_generation: DataGeneration
    """Augmentations."""
    training: Training
    """Settings."""

    def families(self) -> tuple[str, ...]:
        """The enabled families of augmentations, in the published order."""
        return tuple(name for name in FAMILIES if getattr(self.data_generation, f"use_{name}_augmentations"))


class ExtendedDirectives(Directives):
    """Ours."""

    training: ExtendedTraining
    """Settings."""


FAMILIES = ("basic", "size", "chain", "repeat")
"""The families of augmentations, in the published order."""
_ALLOWED: dict[str, tuple[float, ...]] = {
    "learning_rate": (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3),
    "num_train_epochs": (1, 2, 3),
    "rank": (8, 16, 32, 64),
    "views": (16, 32, 64, 128, 256),
}
_MODELS: dict[Kind, type[Directives]] = {"published": Directives, "extended": ExtendedDirectives}


def read_directives(kind: Kind, text: str) -> Directives:
    """The directives that `text` holds; thoughts around them are no part of them.

    Raises:
        InvalidEdit: it is no JSON object, or not one of this kind; the reason in one line.
    """
    said = spoken(text)
    if said is None:
        raise InvalidEdit("only thoughts: they end before anything is said")
    try:
        value = json.loads(said, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidEdit(f"no JSON: {error}") from None
    try:
        return _MODELS[kind].model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise InvalidEdit(f"{place}: {message}" if place else message) from None


def grammar_of(kind: Kind) -> str:
    """JSON schema, for constrained decoding: every text that follows it is valid and short. Of `published`, learning
    rates are restricted to 1, 2 and 5 times powers of ten."""
    strategy = {"enum": [ALL_TOKENS, OUTPUT_TOKENS]}
    training: dict[str, object] = {"strategy": strategy}
    if kind == "extended":
        training |= {name: {"enum": list(allowed)} for name, allowed in _ALLOWED.items()}
    else:
        rates = [float(f"{digit}e-{power}") for power in (6, 5, 4, 3) for digit in (1, 2, 5)] + [0.01]
        training |= {
            "learning_rate": {"enum": rates},
            "num_train_epochs": {"type": "integer", "minimum": 1, "maximum": 10},
        }
    flags = {f"use_{name}_augmentations": {"type": "boolean"} for name in FAMILIES}
    return json.dumps(object_schema({"data_generation": object_schema(flags), "training": object_schema(training)}))


def ask_for_directives(kind: Kind, demos: Sequence[Pair], is_constrained: bool) -> Prompt:
    """The request: the demonstrations, what can be chosen, and the form of the reply."""
    shown = _shown(demos)
    lines = [f"Input:\n{_rows(pair.input)}\nOutput:\n{_rows(pair.output)}\n" for pair in shown]
    left_out = len(demos) - len(shown)
    if left_out:
        lines.append(f"({left_out} more left out)\n")
    grammar = grammar_of(kind) if is_constrained else ""
    return Prompt("\n".join([*lines, "------\n", _REQUESTS[kind]]), json_schema=grammar)


_FLAGS = ", ".join(f'"use_{name}_augmentations": ...' for name in FAMILIES)
_REQUESTS: dict[Kind, str] = {
    "published": (
        "These are the demonstrations of a puzzle. A model will be trained on them to solve it, and you set up its"
        " training.\nFour tools make more demonstrations; switch each on (true) or off (false): basic, size, chain and"
        " repeat augmentations.\nChoose one strategy: train_using_all_tokens or train_using_output_tokens. Give the"
        " learning rate and the number of epochs.\nAnswer with valid JSON alone, no other words, in this form:\n"
        f'{{"data_generation": {{{_FLAGS}}}, "training": {{"strategy": ..., "learning_rate": ...,'
        ' "num_train_epochs": ...}}'
    ),
    "extended": (
        "These are the demonstrations of a puzzle. A model will be trained on them to solve it, and you set up its"
        " training.\nAugmentations, each true or false: basic (turns, flips, mirror images, shifts), size (stretched"
        " grids), chain (a turn, then a stretch), repeat (tiled grids).\nstrategy: train_using_all_tokens or"
        " train_using_output_tokens.\nlearning_rate: 0.0001 (careful) to 0.005 (bold). num_train_epochs: 1, 2 or 3."
        " rank of the adapter: 8, 16, 32 or 64. views, the number of training sequences: 16, 32, 64, 128 or 256.\n"
        "Answer with JSON alone:\n"
        f'{{"data_generation": {{{_FLAGS}}}, "training": {{"strategy": ..., "learning_rate": ...,'
        ' "num_train_epochs": ..., "rank": ..., "views": ...}}'
    ),
}


def _shown(demos: Sequence[Pair]) -> list[Pair]:
    """The first ones that fit; at least one."""
    shown: list[Pair] = []
    cells = 0
    for pair in demos:
        cells += sum(len(grid) * len(grid[0]) for grid in (pair.input, pair.output))
        if shown and cells > _SHOWN_CELLS:
            break
        shown.append(pair)
    return shown


def _rows(grid: Grid) -> str:
    return "\n".join(" ".join(map(str, row)) for row in grid)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number to train with")
