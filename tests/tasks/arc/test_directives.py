"""Directives: what is accepted, what is refused and why, and the grammar under which they are written."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from selfedit.errors import InvalidEdit
from selfedit.tasks.arc.directives import FAMILIES, Kind, ask_for_directives, grammar_of, read_directives
from selfedit.tasks.arc.grids import Pair

KINDS: tuple[Kind, ...] = ("published", "extended")


def directives(kind: Kind, **training: Any) -> str:
    flags = {f"use_{name}_augmentations": name in ("basic", "repeat") for name in FAMILIES}
    settings = {"strategy": "train_using_output_tokens", "learning_rate": 0.001, "num_train_epochs": 2}
    extended = {"rank": 32, "views": 64} if kind == "extended" else {}
    return json.dumps({"data_generation": flags, "training": {**settings, **extended, **training}})


@pytest.mark.parametrize("kind", KINDS)
def test_directives_say_which_families_and_how_to_train(kind: Kind) -> None:
    read = read_directives(kind, directives(kind))
    assert read.families() == ("basic", "repeat")
    assert (read.training.learning_rate, read.training.num_train_epochs) == (0.001, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["<think>\n{hm}\n</think>\n\n{}", "hm</think>{}", "[THINK]hm[/THINK]{}<|im_end|>"])
def test_thoughts_around_directives_are_no_part_of_them(kind: Kind, around: str) -> None:
    text = directives(kind)
    assert read_directives(kind, around.replace("{}", text)) == read_directives(kind, text)


def test_directives_that_are_only_thoughts_are_refused_as_such() -> None:
    with pytest.raises(InvalidEdit, match="only thoughts"):
        read_directives("published", "<think>\n" + directives("published"))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_directives_have_one_text(kind: Kind) -> None:
    text = directives(kind)
    other = "  " + text.replace(": ", " :\n").replace("0.001", "1e-3") + "\n"
    assert read_directives(kind, text) == read_directives(kind, other)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{", "", "no JSON"),
        ("0.001", "NaN", "NaN is no number"),
        ("0.001", "-Infinity", "-Infinity is no number"),
        ("0.001", '"0.001"', "training.learning_rate: Input should be a valid number"),
        ("0.001", "0.5", "training.learning_rate: Input should be less than or equal to 0.01"),
        ("0.001", "0", "training.learning_rate: Input should be greater than or equal to 0.000001"),
        ("true", '"false"', "use_basic_augmentations: Input should be a valid boolean"),
        ("true", "1", "use_basic_augmentations: Input should be a valid boolean"),
        (": 2", ": 2.5", "num_train_epochs: Input should be a valid integer"),
        (": 2", ": true", "num_train_epochs: Input should be a valid integer"),
        (": 2", ": 0", "num_train_epochs: Input should be greater than or equal to 1"),
        (": 2", ": 11", "num_train_epochs: Input should be less than or equal to 10"),
        ("output_tokens", "no_tokens", "training.strategy"),
        ('"learning_rate": 0.001, ', "", "training.learning_rate: Field required"),
        ('"learning_rate"', '"momentum": 1, "learning_rate"', "training.momentum: Extra inputs"),
        ('"learning_rate"', '"learning_rate": 0.002, "learning_rate"', "'learning_rate' is there twice"),
        ('"training"', '"trainings"', "training: Field required"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_refused_with_its_reason(kind: Kind, old: str, new: str, why: str) -> None:
    with pytest.raises(InvalidEdit) as refusal:
        read_directives(kind, directives(kind).replace(old, new, 1))
    assert why in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"text"', "{}", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidEdit):
        read_directives("published", text)


@pytest.mark.parametrize("wrong", [{"rank": 7}, {"views": 100}, {"learning_rate": 0.003}, {"num_train_epochs": 4}])
def test_extended_directives_choose_among_what_can_be_of_use(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidEdit, match="must be one of"):
        read_directives("extended", directives("extended", **wrong))


def choices(schema: dict[str, Any]) -> list[Any]:
    """Some of the values that a schema allows, every value of every choice among them."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "boolean":
        return [True, False]
    if schema["type"] == "integer":
        return [schema["minimum"], schema["maximum"]]
    columns = [choices(part) for part in schema["properties"].values()]
    longest = max(map(len, columns))
    rows = [[column[i % len(column)] for column in columns] for i in range(longest)]
    return [dict(zip(schema["properties"], row, strict=True)) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_the_grammar_allows_is_valid(kind: Kind) -> None:
    schema = json.loads(grammar_of(kind))
    parts = [choices(part) for part in schema["properties"].values()]
    for values in product(*parts):
        read_directives(kind, json.dumps(dict(zip(schema["properties"], values, strict=True))))


@pytest.mark.parametrize("kind", KINDS)
def test_the_request_shows_the_demonstrations_and_the_form(kind: Kind) -> None:
    prompt = ask_for_directives(kind, [Pair(((1, 2), (3, 4)), ((5,),))], is_constrained=True)
    assert "Input:\n1 2\n3 4\nOutput:\n5\n" in prompt.text
    assert all(f"use_{name}_augmentations" in prompt.text for name in FAMILIES)
    assert prompt.json_schema == grammar_of(kind)
    assert not ask_for_directives(kind, [Pair(((1,),), ((5,),))], is_constrained=False).json_schema


def test_long_demonstrations_are_cut_and_the_request_says_so() -> None:
    large = Pair(((1,) * 30,) * 30, ((2,) * 30,) * 30)
    prompt = ask_for_directives("extended", [large, large, large], is_constrained=True)
    assert prompt.text.count("Input:") == 1 and "(2 more left out)" in prompt.text
