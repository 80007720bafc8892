"""L4. Numbers and stages in plain words, and in the cells of tables; the one place where anything is rounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from selfedit.loop.evaluation import Family, Method
from selfedit.loop.methods import all_methods
from selfedit.records import Stage
from selfedit.report.blocks import Cell, Table
from selfedit.report.stats.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval, Ranged

NOTHING = "–"
Form = Callable[[float | None], str]
"""One of the functions below that put a number in words."""
PARTS = ("write", "trials", "update")
"""Parts of a stage's wall time, as they happen."""
T = TypeVar("T")
_NAME_WIDTH = 40
"""Characters of a file's or model's name that a label shows."""


def method_of(stage: Stage) -> Method | None:
    """The method of a held-out stage; None where no package that is installed has it, and for other stages."""
    return all_methods().get(stage.method) if stage.kind == "eval" else None


def family_of(stage: Stage) -> Family:
    """What kind of method a held-out stage is; `other` where the method is unknown."""
    method = method_of(stage)
    return method.family if method else "other"


def stage_name(stage: Stage) -> str:
    """The prompt, file or model that tells a stage from others of its method, fit to be shown; empty without one."""
    return one_line(stage.variant, _NAME_WIDTH)


def stage_label(stage: Stage) -> str:
    """What a stage is called in tables and figures."""
    if stage.kind == "round":
        return f"Round {stage.version}"
    method = method_of(stage)
    pattern = method.label if method else ""
    if method and stage.version is None:
        pattern = method.label_untouched or method.label
    if pattern:
        return _filled(pattern, stage)
    parts = (f"{stage.method}:{stage.variant}" if stage.variant else stage.method, stage.version)
    named = "-".join(str(part) for part in parts if part not in ("", None))
    return one_line(named if stage.kind == "eval" else stage.name, _NAME_WIDTH)


def written_by(stage: Stage) -> str:
    """Who wrote the self-edits of a stage, and how they were asked for."""
    if stage.kind == "round":
        return f"written in round {stage.version}"
    method = method_of(stage)
    if method and method.written:
        return _filled(method.written, stage)
    asked = f", asked by {stage_name(stage)}" if stage.variant else ""
    return (f"written after RL update {stage.version}" if stage.version else "written by the untrained policy") + asked


def cause_of(stage: Stage) -> str:
    """What a stage's method did to the model, to begin a sentence with; empty where headlines pass it over."""
    method = method_of(stage)
    return _filled(method.cause, stage) if method else ""


def when(stage: Stage) -> str:
    """Where the policy stood that wrote."""
    return f"after RL update {stage.version}" if stage.version else "before RL"


def _filled(pattern: str, stage: Stage) -> str:
    name = stage_name(stage)
    return pattern.format(time=when(stage), asked=f"{name} " if name else "", name=name)


def stage_order(stage: Stage) -> tuple[int, str, int, str]:
    """Sorts held-out stages as one reads them: in the order of methods, then by prompt, file or model and policy."""
    methods = [*all_methods()]
    place = methods.index(stage.method) if stage.kind == "eval" and stage.method in methods else len(methods)
    return place, stage.variant, -1 if stage.version is None else stage.version, stage.name


def run_order(stage: Stage, part: str = "") -> tuple[int, bool, tuple[int, str, int, str], int]:
    """Sorts the pieces of a run as they happen: tests before training, then each round and the tests after it."""
    place = PARTS.index(part) if part in PARTS else len(PARTS)
    return stage.version or 0, stage.kind != "round", stage_order(stage), place


def percent(value: float | None) -> str:
    """0.2166 → `21.7`."""
    return NOTHING if value is None else _minus(f"{100 * value:.1f}")


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return NOTHING if value is None else _minus(f"{100 * value:+.1f}")


def nats(value: float | None) -> str:
    """A log-probability; also a share or a correlation, with two decimals."""
    return NOTHING if value is None else _minus(f"{value:.2f}")


def signed(value: float | None) -> str:
    """A difference in nats, or a reward."""
    return NOTHING if value is None else _minus(f"{value:+.2f}")


def small(value: float | None) -> str:
    """A variance, with four decimals."""
    return NOTHING if value is None else _minus(f"{value:.4f}")


def between(low: float | None, high: float | None, form: Form) -> str:
    """An interval, both ends put in words by `form`."""
    return NOTHING if low is None or high is None else f"{form(low)} to {form(high)}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return NOTHING
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float | None) -> str:
    """A mean count: whole where it is whole or large, else with one decimal."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 20 or value == int(value) else f"{value:.1f}"


def money(value: float | None) -> str:
    """A cost, to two digits that matter."""
    if value is None:
        return NOTHING
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.2g}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 passage`, `2 passages`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def count_in_words(number: int, noun: str) -> str:
    """`One round`, `Two rounds`: for the start of a sentence."""
    names = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return f"{names[number]} {noun}{'' if number == 1 else 's'}" if number < len(names) else count(number, noun)


def resampled(noun: str) -> str:
    """How intervals come about, for the notes under tables."""
    return f"by resampling whole {noun}s 2,000 times; of 0 and 100 %, the exact binomial bound"


def verdict(interval: Interval, noun: str) -> str:
    """What a difference's interval allows to be said; `noun`: what a context is called."""
    if interval.value is None:
        return "not measured"
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return f"too few {noun}s to tell"
    if not interval.is_clear:
        return "no clear difference"
    return "clearly up" if interval.value > 0 else "clearly down"


def one_line(text: str, width: int) -> str:
    """`text` in one line of at most `width` characters, without what a terminal would obey or XML cannot hold."""
    text = " ".join(
        re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+", " ", text).split()
    )
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def ranged_cell(one: Ranged | None, form: Form) -> Cell:
    """A number over its interval; None where it was not measured."""
    if one is None:
        return Cell(NOTHING)
    return Cell(form(one.value), "" if one.low is None else between(one.low, one.high, form))


def difference_cell(interval: Interval, form: Form, noun: str) -> Cell:
    """A difference over its interval and what that allows to be said."""
    said = verdict(interval, noun)
    return Cell(
        form(interval.value), said if interval.low is None else f"{between(interval.low, interval.high, form)}: {said}"
    )


def published(value: float | None) -> str:
    """A published number in %, as it stands."""
    return NOTHING if value is None else f"{value:.1f}"


def published_points(value: float | None) -> str:
    """A published difference in points."""
    return points(None if value is None else value / 100)


def loud_cell(number: int) -> Cell:
    """A count of what should be none."""
    return Cell(f"{number:,}", tone="loud" if number else "")


def table_of(
    title: str,
    rows: Iterable[T],
    columns: Mapping[str, Callable[[T], Cell | str]],
    note: str = "",
    *,
    is_words: bool = False,
    narrow: int = 99,
    level: int = 2,
    main: int | None = None,
) -> Table:
    """A table with a row for each of `rows`. `columns`: head → (row → its cell, or a cell's words); the rest as in
    `Table`."""
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    cells = tuple(tuple(Cell(one) if isinstance(one, str) else one for one in line) for line in lines)
    return Table(title, tuple(columns), cells, note, is_words, narrow, level, main)


def _minus(text: str) -> str:
    """A true minus sign, and never a signed zero."""
    if not re.search(r"[1-9]", text):
        return text.lstrip("+-")
    return text.replace("-", "−")
