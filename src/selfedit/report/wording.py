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
    "eval-sentences": "Trained on the passage's own sentences",
    "eval-in-context": "Passage in the prompt",
    "eval-oracle": "Settings known to work",
}
_LABELS = {
    "eval-base": "Policy {time}, no study",
    "eval-synthetic": "Trained on {asked}self-edits, {time}",
    "eval-distil": "Distilled on {asked}self-edits, passage in sight",
    "eval-seal-edits": "Base model trained on {asked}self-edits written {time}",
    "eval-edits": "Trained on self-edits from {name}",
    "eval-writer": "Trained on self-edits by {name}",
    "eval-label-free": "Best by rehearsal, {time}",
    "round": "Round {number}",
}
"""By kind of stage: {time} is where the policy stood, {asked} the prompt behind a colon, {name} whose self-edits."""
_WRITERS = {
    "eval-sentences": "the passage's own sentences",
    "eval-edits": "from {name}",
    "eval-writer": "written by {name}",
    "round": "written in round {number}",
}
_PARTS = ["write", "trials", "update"]
_ORDER = [
    "eval-base",
    "eval-passage",
    "eval-sentences",
    "eval-distil",
    "eval-synthetic",
    "eval-seal-edits",
    "eval-edits",
    "eval-writer",
    "eval-in-context",
]
_NAME_WIDTH = 40
"""Characters of a file's or model's name that a label shows."""


def stage_number(stage: str) -> int | None:
    """The number that a stage's name ends in: a round's, or in held-out stages the policy's version; or None."""
    found = re.search(r"-(\d+)$", stage)
    return int(found[1]) if found else None


def stage_family(stage: str) -> str:
    """A stage's name without its number."""
    return re.sub(r"-\d+$", "", stage)


def stage_kind(stage: str) -> str:
    """A stage's family without what stands behind its colon: `eval-synthetic` for `eval-synthetic:rewrite-0`."""
    return stage_family(stage).partition(":")[0]


def stage_variant(stage: str) -> str:
    """What stands behind the colon of a stage's family: a prompt, a file or a model; empty where there is none."""
    return stage_family(stage).partition(":")[2]


def stage_name(stage: str) -> str:
    """The same, fit to be shown."""
    return one_line(stage_variant(stage), _NAME_WIDTH)


def stage_label(stage: str) -> str:
    """What a stage is called in tables and figures."""
    if stage in _FIXED_LABELS:
        return _FIXED_LABELS[stage]
    pattern = _LABELS.get(stage_kind(stage)) if stage_number(stage) is not None else None
    return _filled(pattern, stage) if pattern else one_line(stage.removeprefix("eval-"), _NAME_WIDTH)


def written_by(stage: str) -> str:
    """Who wrote the self-edits of a stage, and how they were asked for."""
    if pattern := _WRITERS.get(stage_kind(stage)):
        return _filled(pattern, stage)
    number = stage_number(stage)
    asked = f", asked by {stage_name(stage)}" if stage_variant(stage) else ""
    return (f"written after RL update {number}" if number else "written by the untrained policy") + asked


def _filled(pattern: str, stage: str) -> str:
    number, name = stage_number(stage), stage_name(stage)
    time = f"after RL update {number}" if number else "before RL"
    return pattern.format(time=time, asked=f"{name} " if name else "", name=name, number=number)


def stage_order(stage: str) -> tuple[int, str, int, str]:
    """Sorts held-out stages as one reads them: untouched, passage, self-edits by prompt and policy, others' self-edits,
    the passage in sight."""
    kind, number = stage_kind(stage), stage_number(stage)
    place = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
    return place, stage_variant(stage), -1 if number is None else number, stage


def run_order(piece: str) -> tuple[int, bool, tuple[int, str, int, str], int]:
    """Sorts the timed pieces of a run as they happen: tests before training, then each round and the tests after it."""
    stage, part = stage_and_part(piece)
    place = _PARTS.index(part) if part in _PARTS else len(_PARTS)
    return stage_number(stage) or 0, not stage.startswith("round"), stage_order(stage), place


def stage_and_part(piece: str) -> tuple[str, str]:
    """`round-1/write` → `round-1`, `write`; a stage's name may hold slashes of its own."""
    stage, _, part = piece.rpartition("/")
    return (stage, part) if part in _PARTS else (piece, "")


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


def verdict(interval: Interval, noun: str = "passages") -> str:
    """What a difference's interval allows to be said, over so many `noun`."""
    if interval.value is None:
        return "not measured"
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return f"too few {noun} to tell"
    if not interval.is_clear:
        return "no clear difference"
    return "clearly up" if interval.value > 0 else "clearly down"


def earned(reward: float | None, accuracy_gain: float | None, logprob_gain: float | None) -> str:
    """What a self-edit earned, in one line; empty where nothing was measured."""
    parts = [f"reward {signed(reward)}"] if reward is not None else []
    if accuracy_gain is not None:
        parts.append(f"accuracy {points(accuracy_gain)} points")
    if logprob_gain is not None:
        parts.append(f"gold log-probability {signed(logprob_gain)} nats")
    return " · ".join(parts)


def unearned(stage: str) -> str:
    """Why a self-edit that is sound has nothing to show."""
    return "not tried on its own" if stage.startswith("eval-") else "no reward"


def trouble(kind: str, number: int, out_of: int, stage: str) -> str:
    """`3 of 24 self-edits invalid (round-1)`."""
    noun, participle = {
        "invalid": ("self-edit", "invalid"),
        "failed": ("trial", "failed"),
        "ungraded": ("answer", "ungraded"),
    }[kind]
    return f"{number:,} of {count(out_of, noun)} {participle} ({one_line(stage, 2 * _NAME_WIDTH)})"


def one_line(text: str, width: int) -> str:
    """`text` in one line of at most `width` characters, without what a terminal would obey or XML cannot hold."""
    text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+", " ", text).split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _minus(text: str) -> str:
    """A true minus sign, and never a signed zero."""
    if not re.search(r"[1-9]", text):
        return text.lstrip("+-")
    return text.replace("-", "−")
