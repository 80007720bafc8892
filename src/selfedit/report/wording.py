"""L4. Numbers and stages in plain words; the one place of the report where anything is rounded."""

from __future__ import annotations

import re
from collections.abc import Callable

from selfedit.report.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval

NOTHING = "–"
Form = Callable[[float | None], str]
"""One of the functions below that put a number in words."""
_FIXED_LABELS = {
    "eval-base": "Base model, no study",
    "eval-passage": "Trained on the passage",
    "eval-in-context": "Passage in the prompt",
    "eval-synthetic-0": "Trained on self-edits, before RL",
}
_NUMBERED_LABELS = {
    "eval-base": "Policy after RL update {}, no study",
    "eval-synthetic": "Trained on self-edits, after RL update {}",
    "round": "Round {}",
}
_PARTS = ["write", "trials", "update"]
_ORDER = ["eval-base", "eval-passage", "eval-synthetic", "eval-in-context"]


def stage_number(stage: str) -> int | None:
    """The number that a stage's name ends in: a round's, or in held-out stages the policy's version; or None."""
    found = re.search(r"-(\d+)$", stage)
    return int(found[1]) if found else None


def stage_family(stage: str) -> str:
    """A stage's name without its number."""
    return re.sub(r"-\d+$", "", stage)


def stage_label(stage: str) -> str:
    """What a stage is called in tables and figures."""
    if stage in _FIXED_LABELS:
        return _FIXED_LABELS[stage]
    pattern, number = _NUMBERED_LABELS.get(stage_family(stage)), stage_number(stage)
    return pattern.format(number) if pattern and number is not None else stage.removeprefix("eval-")


def stage_order(stage: str) -> tuple[int, int, str]:
    """Sorts held-out stages as one reads them: untouched, passage, self-edits by policy, the passage in sight."""
    family, number = stage_family(stage), stage_number(stage)
    place = _ORDER.index(family) if family in _ORDER else len(_ORDER)
    return place, -1 if number is None else number, stage


def run_order(piece: str) -> tuple[int, bool, str, int]:
    """Sorts the timed pieces of a run as they happen: tests before training, then each round and the tests after it."""
    stage, _, part = piece.partition("/")
    place = _PARTS.index(part) if part in _PARTS else len(_PARTS)
    return stage_number(stage) or 0, not stage.startswith("round"), stage, place


def percent(value: float | None) -> str:
    """0.2166 → `21.7`."""
    return NOTHING if value is None else _minus(f"{100 * value:.1f}")


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return NOTHING if value is None else _minus(f"{100 * value:+.1f}")


def nats(value: float | None) -> str:
    """A log-probability."""
    return NOTHING if value is None else _minus(f"{value:.2f}")


def signed(value: float | None) -> str:
    """A difference in nats, or a reward."""
    return NOTHING if value is None else _minus(f"{value:+.2f}")


def decimal(value: float | None) -> str:
    """A share or a correlation, with two decimals."""
    return nats(value)


def between(low: float | None, high: float | None, form: Form) -> str:
    """An interval, both ends put in words by `form`."""
    return NOTHING if low is None or high is None else f"{form(low)} to {form(high)}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return NOTHING
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 passage`, `2 passages`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def count_in_words(number: int, noun: str) -> str:
    """`One round`, `Two rounds`: for the start of a sentence."""
    names = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return f"{names[number]} {noun}{'' if number == 1 else 's'}" if number < len(names) else count(number, noun)


def verdict(interval: Interval) -> str:
    """What a difference's interval allows to be said."""
    if interval.value is None:
        return "not measured"
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return "too few passages to tell"
    if not interval.is_clear:
        return "no clear difference"
    return "clearly up" if interval.value > 0 else "clearly down"


def earned(reward: float | None, accuracy_gain: float | None, logprob_gain: float | None) -> str:
    """What a self-edit earned, in one line."""
    parts = [f"reward {signed(reward)}"] if reward is not None else []
    if accuracy_gain is not None:
        parts.append(f"accuracy {points(accuracy_gain)} points")
    if logprob_gain is not None:
        parts.append(f"gold log-probability {signed(logprob_gain)} nats")
    return " · ".join(parts) or "no reward"


def trouble(kind: str, number: int, out_of: int, stage: str) -> str:
    """`3 of 24 self-edits invalid (round-1)`."""
    noun, participle = {
        "invalid": ("self-edit", "invalid"),
        "failed": ("trial", "failed"),
        "ungraded": ("answer", "ungraded"),
    }[kind]
    return f"{number:,} of {count(out_of, noun)} {participle} ({stage})"


def one_line(text: str, width: int) -> str:
    """`text` in one line of at most `width` characters, without what a terminal would obey or XML cannot hold."""
    text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+", " ", text).split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _minus(text: str) -> str:
    """A true minus sign, and never a signed zero."""
    if not re.search(r"[1-9]", text):
        return text.lstrip("+-")
    return text.replace("-", "−")
