"""L4. Past the window: what weights that are updated on the way keep, against a window, text, search and everything.

What must be shown was written down before anything was run; each line says whether it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfedit.records import to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Document, Figure, Paragraph, Table, document_of
from selfedit.report.figures import style
from selfedit.report.figures.past_window import AgeLine, by_age
from selfedit.report.stats.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval, bootstrap, mean
from selfedit.think.arms import ARMS, END_ONLY, OTHER, TEXT_128, WEIGHTS, WINDOW
from selfedit.think.experiment import AskedPast
from selfedit.think.past_window import READING, PastWindowResult

NAME = "past-window"
_AGES = (("1", 1, 1), ("2–3", 2, 3), ("4–7", 4, 7), ("8–11", 8, 11), ("12 and more", 12, 99))
"""How ages are shown, with the first and the last of each."""
MOST_SECONDS = 15
"""That one update may take, as it was written down beforehand."""
_DRAWN = {
    WEIGHTS.name: style.VERMILION,
    WINDOW.name: style.GREY,
    TEXT_128.name: style.BLUE,
    "bm25-128": style.GREEN,
    "whole": style.ORANGE,
}
Which = Callable[[AskedPast], bool]


@dataclass(frozen=True, slots=True)
class Demand:
    """What must be shown."""

    text: str
    """In words."""
    least: float | None
    """The difference that is needed; None where `most` says what is allowed."""
    most: float | None
    difference: Interval
    """As measured."""
    unit: Literal["points", "seconds"] = "points"
    """What it is in: a share of answers, or seconds, of which the most were measured."""
    average: float | None = None
    """Seconds on average; None for points."""

    @property
    def is_met(self) -> bool | None:
        """Whether the mean meets it; None where nothing was measured."""
        if self.difference.value is None:
            return None
        if self.least is not None:
            return self.difference.value >= self.least
        return self.most is None or self.difference.value <= self.most


def past_window_page(title: str, results: Sequence[PastWindowResult], facts: dict[str, Any]) -> Document:
    """The page of one experiment, all its starts."""
    starts = list(dict.fromkeys(result.start for result in results))
    blocks: list[Block] = []
    demands: list[Demand] = []
    at = 0
    data: dict[str, Any] = {"facts": facts, "starts": {}, "answers": _answers(results)}
    for start in starts:
        own = [result for result in results if result.start == start]
        answers = [answer for result in own for answer in result.answers]
        table, rows = _arms_table(start, own)
        blocks += [table]
        data["starts"][start] = {"arms": rows, "updates": (updates := _updates(own))}
        blocks.append(Paragraph(_told(updates)))
        if start == starts[0]:
            demands, at = _demands(answers), len(blocks)
            blocks.append(_figure(answers))
    if demands:
        demands += _time_demand(results)
        blocks.insert(at, _demand_table(demands))
    data["demands"] = [{**to_json(one), "is_met": one.is_met} for one in demands]
    n = len({answer.stream for result in results for answer in result.answers})
    first = [answer for result in results if result.start == starts[0] for answer in result.answers]
    return document_of(NAME, title, _sentences(demands, _best_text(first), starts, n), tuple(blocks), data)


def _answers(results: Sequence[PastWindowResult]) -> dict[str, Any]:
    """Every answer in a row, without what the columns before it say already."""
    columns = ("stream", "question", "arm", "kind", "is_mid", "age", "is_past", "is_right", "is_stale", "gold_logprob")
    rows = [
        [result.start, *(getattr(answer, name) for name in columns)] for result in results for answer in result.answers
    ]
    return {"columns": ["start", *columns], "rows": rows}


def share(answers: Sequence[AskedPast], arm: str, which: Which = lambda one: True) -> Interval:
    """Of right answers in an arm, streams resampled."""
    return bootstrap({(a.stream, a.question): float(a.is_right) for a in answers if a.arm == arm and which(a)})


def difference(answers: Sequence[AskedPast], arm: str, other: str, which: Which) -> Interval:
    """`arm` minus `other`, question by question."""
    of = {(a.stream, a.question, a.arm): a.is_right for a in answers if which(a)}
    keys = {(stream, question) for stream, question, name in of if name == arm}
    both = [key for key in keys if (*key, other) in of]
    return bootstrap({key: float(of[*key, arm]) - float(of[*key, other]) for key in both})


def is_past(one: AskedPast) -> bool:
    """Whether what is asked for has left the window."""
    return one.is_past


def _is_past_lemma(one: AskedPast) -> bool:
    return one.is_past and one.kind != "fact"


def _demands(answers: Sequence[AskedPast]) -> list[Demand]:
    """As they were written down before anything was run."""

    def of(text: str, arm: str, other: str, which: Which, least: float | None, most: float | None = None) -> Demand:
        return Demand(text, least, most, difference(answers, arm, other, which))

    found = [
        of("past the window: weights − window ≥ +20", WEIGHTS.name, WINDOW.name, is_past, 0.20),
        of("past the window: weights − text(128) ≥ +10", WEIGHTS.name, TEXT_128.name, is_past, 0.10),
        of(
            "lemmas past the window: on the way − at the end only ≥ +10", "weights", END_ONLY.name, _is_past_lemma, 0.10
        ),
        of("control: another stream's weights − window ≤ +2", OTHER.name, WINDOW.name, is_past, None, 0.02),
    ]
    return [one for one in found if one.difference.value is not None]


def _time_demand(results: Sequence[PastWindowResult]) -> list[Demand]:
    """How long the slowest update took, on every start; nothing where none was made."""
    seconds = [boundary.studied.seconds for result in results for boundary in result.boundaries]
    if not seconds:
        return []
    n = len({boundary.stream for result in results for boundary in result.boundaries})
    found = Interval(max(seconds), None, None, n, len(seconds))
    return [Demand(f"every update ≤ {MOST_SECONDS} s", None, float(MOST_SECONDS), found, "seconds", mean(seconds))]


def _measured(one: Demand) -> Cell:
    if one.unit == "points":
        return fmt.ranged_cell(one.difference, fmt.points)
    return Cell(f"{one.difference.value:.1f} s", f"the slowest; {one.average:.1f} s on average")


def _demand_table(demands: Sequence[Demand]) -> Table:
    rows = tuple((Cell(one.text), _measured(one), Cell("yes" if one.is_met else "no")) for one in demands)
    return Table("What must be shown, points, or seconds where so said", ("demand", "measured", "met"), rows)


def _arms_table(start: str, results: Sequence[PastWindowResult]) -> tuple[Table, list[dict[str, Any]]]:
    answers = [answer for result in results for answer in result.answers]
    rows, data = [], []
    for arm in ARMS:
        own = [a for a in answers if a.arm == arm.name]
        if not own:
            continue
        past, seen = share(own, arm.name, is_past), share(own, arm.name, lambda one: not one.is_past)
        by_moment = {
            "mid": share(own, arm.name, lambda one: one.is_past and one.is_mid),
            "end": share(own, arm.name, lambda one: one.is_past and not one.is_mid),
        }
        ages = {label: share(own, arm.name, _aged(low, high)) for label, low, high in _AGES}
        stale = mean(float(a.is_stale) for a in own if a.is_stale is not None and a.is_past)
        logprob = bootstrap({(a.stream, a.question): a.gold_logprob for a in own if a.is_past})
        seconds = sum(result.ask_seconds.get(arm.name, 0.0) for result in results) / len(own)
        rows.append(
            (
                Cell(arm.label),
                fmt.ranged_cell(past, fmt.percent),
                *(Cell(fmt.percent(one.value)) for one in by_moment.values()),
                Cell(fmt.percent(seen.value)),
                Cell(fmt.percent(stale)),
                Cell(fmt.nats(logprob.value)),
                Cell(f"{seconds:.2f}"),
            )
        )
        data.append(
            {
                "arm": arm.name,
                "past": to_json(past),
                "in_sight": to_json(seen),
                "by_moment": to_json(by_moment),
                "ages": to_json(ages),
                "stale": stale,
                "gold_logprob": to_json(logprob),
                "seconds_per_answer": seconds,
            }
        )
    heads = ("arm", "past, %", "mid", "end", "in sight", "old value", "log-prob.", "s")
    n = len({(a.stream, a.question) for a in answers if a.is_past})
    note = (
        f"Right answers where what is asked for has left the window ({n} questions), derived in mid-stream and asked "
        "at the end; while it is in sight; an old value given after its change; log-probability of the gold answer per "
        "token, nats; seconds an answer, keys and values made for it included."
    )
    return Table(f"On the start `{start}`", heads, tuple(rows), note), data


def _aged(low: int, high: int) -> Which:
    return lambda one: low <= one.age <= high


def _updates(results: Sequence[PastWindowResult]) -> dict[str, Any]:
    done = [boundary.studied for result in results for boundary in result.boundaries]
    if not done:
        return {}
    return {
        "n": len(done),
        "kept": mean(float(one.is_kept) for one in done),
        "seconds": mean(one.seconds for one in done),
        "most_seconds": max(one.seconds for one in done),
        "tokens": sum(one.tokens for one in done),
        "rise": mean(one.loss_after - one.loss_before for one in done),
        "failed": sum(bool(one.failure) for one in done),
    }


def _told(updates: dict[str, Any]) -> str:
    if not updates:
        return "Nothing was updated on this start."
    return (
        f"{updates['n']} updates, {updates['kept']:.0%} kept, {updates['seconds']:.1f} s each "
        f"(at most {updates['most_seconds']:.1f}), {updates['tokens']:,} tokens trained on; the visible text's loss "
        f"rose by {updates['rise']:.2f} nats per token on average."
    )


def _figure(answers: Sequence[AskedPast]) -> Figure:
    lines = []
    for arm in ARMS:
        if arm.name in _DRAWN:
            points = {label: share(answers, arm.name, _aged(low, high)) for label, low, high in _AGES}
            known = {label: one for label, one in points.items() if one.value is not None}
            lines.append(AgeLine(arm.label, _DRAWN[arm.name], arm is WEIGHTS, known))
    ages = [label for label, _, _ in _AGES]
    return Figure(NAME, lambda: by_age(lines, ages), "Right answers by how long ago it was last said, 95 % intervals.")


def _best_text(answers: Sequence[AskedPast]) -> str:
    """How weights stand beside the best of what is put in sight instead, everything left out; empty without any."""
    rivals = [arm for arm in ARMS if arm.answerer == "none" and arm.memory in ("text", "search")]
    shares = {arm.label: share(answers, arm.name, is_past).value for arm in rivals}
    known = {label: value for label, value in shares.items() if value is not None}
    weights = share(answers, WEIGHTS.name, is_past).value
    if not known or weights is None:
        return ""
    best = max(known, key=lambda label: known[label])
    rival = f"the best text in their place ({best}) {fmt.percent(known[best])} %"
    return f"Weights answer {fmt.percent(weights)} %, and {rival}."


def _sentences(demands: Sequence[Demand], beside: str, starts: Sequence[str], n: int) -> tuple[str, ...]:
    told = []
    if demands:
        first = demands[0]
        gain = fmt.points(first.difference.value)
        ends = fmt.between(first.difference.low, first.difference.high, fmt.points) if first.difference.low else "–"
        told.append(
            f"Past the window, weights that are updated on the way answer {gain} points ({ends}) more than the window "
            f"alone, with perfect lines; {'at least 20 were wanted' if not first.is_met else '20 were wanted'}."
        )
        missed = [one.text for one in demands if not one.is_met]
        told.append("Not shown: " + "; ".join(missed) + "." if missed else "All that was to be shown was shown.")
    if beside:
        told.append(beside)
    lines = "Lines are the oracle's, but where a start's name ends in another writer's"
    told.append(f"{fmt.count(n, 'stream')}; starts: {', '.join(starts)}. {lines}.")
    if n < MIN_CONTEXTS_FOR_CLAIM:
        told.append(f"Fewer than {MIN_CONTEXTS_FOR_CLAIM} streams: no interval here is to be relied on.")
    if READING in starts:
        told.append("The reading adapter was made on other worlds, and lies beneath every arm of its start.")
    return tuple(told)
