"""L4. The page's first section: held-out results by method, and what lies between methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from selfedit.report import wording
from selfedit.report.gains import GainRow, final_stage
from selfedit.report.headline import together
from selfedit.report.markup import change, html_row, html_table, loud, ranged
from selfedit.report.plates import plate
from selfedit.report.reading import Reading
from selfedit.report.tables import MethodRow

GAINS_OPEN = 12
"""Differences that are shown at once; the rest is folded."""
FALSE_ALARMS = 20
"""Of so many differences that do not exist, one leaves out 0 by chance: the intervals are 95 % ones."""


def results(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    """The section; nothing before any held-out question was asked."""
    if not reading.methods:
        return ""
    parts = [
        "<h2>Before and after, on held-out passages</h2>",
        "<p>These passages never trained the policy, and questions are asked without them. This is the result.</p>",
        _together(reading),
        _methods(reading.methods),
        _note(),
        _gains(reading.gains),
        plate(drawn, "methods"),
        plate(drawn, "learning-curve"),
    ]
    return "\n".join(part for part in parts if part)


def _together(reading: Reading) -> str:
    if reading.setting != "cpt":
        return ""
    said = together(max(row.n_contexts for row in reading.methods))
    limits = (
        "So no passage and no self-edit has a trial of its own, a trial’s time is shared equally among the passages, "
        "and the intervals, which resample passages, do not tell how much another such training would differ."
    )
    return f"<p><strong>{escape(said)}</strong> {escape(limits)}</p>"


def _methods(rows: Sequence[MethodRow]) -> str:
    final = final_stage(row.stage for row in rows)
    heads = ["method", "accuracy, %", "gold log-probability, nats per token", "questions", "passages"]
    heads += ["failed trials", "ungraded answers", "time per trial"]
    return html_table(heads, "".join(_method_row(row, is_main=row.stage == final) for row in rows))


def _note() -> str:
    return (
        '<p class="note">Small print under a number is its 95 % interval, by resampling whole passages 2,000 times. A '
        "difference is called clear only when its interval leaves out 0, on at least six passages.</p>"
    )


def _gains(rows: Sequence[GainRow]) -> str:
    if not rows:
        return ""
    parts = ["<h3>Differences</h3>", _gain_table(rows[:GAINS_OPEN])]
    if more := rows[GAINS_OPEN:]:
        title = wording.count(len(more), "further difference")
        parts.append(f"<details><summary>{title}</summary>{_gain_table(more)}</details>")
    if len(rows) > GAINS_OPEN:
        by_chance = max(1, round(len(rows) / FALSE_ALARMS))
        parts.append(
            f'<p class="note">Of {len(rows)} differences in a column, about {by_chance} would be called clear by '
            "chance alone if there were nothing to find.</p>"
        )
    return "".join(parts)


def _gain_table(rows: Sequence[GainRow]) -> str:
    heads = ["difference on the same questions", "accuracy, points", "gold log-probability, nats per token"]
    return html_table([*heads, "questions"], "".join(map(_gain_row, rows)))


def _method_row(row: MethodRow, is_main: bool) -> str:
    return html_row(
        [
            escape(row.label),
            ranged(row.accuracy, row.accuracy_low, row.accuracy_high, wording.percent),
            ranged(row.logprob, row.logprob_low, row.logprob_high, wording.nats),
            f"{row.n_questions:,}",
            f"{row.n_contexts:,}",
            loud(row.failed),
            loud(row.ungraded),
            wording.duration(row.seconds_per_trial),
        ],
        "main" if is_main else "",
    )


def _gain_row(row: GainRow) -> str:
    after, before = escape(wording.stage_label(row.after)), escape(wording.stage_label(row.before))
    label = f'{after}<span class="range">against: {before}</span>'
    return html_row(
        [
            label,
            change(row.accuracy, wording.points),
            change(row.logprob, wording.signed),
            f"{row.accuracy.n_questions:,}",
        ]
    )
