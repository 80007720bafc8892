"""L4. The run as one HTML file that needs nothing else: style and figures stand inside it, and nothing is fetched.

Whatever a model or a data file said passes through `html.escape` on its way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from selfedit.report import wording
from selfedit.report.bill import bill
from selfedit.report.cards import self_edits
from selfedit.report.examples import Example
from selfedit.report.markup import bullets, html_row, html_table, left_out, loud, prose
from selfedit.report.plates import plate
from selfedit.report.reading import Reading, flatten
from selfedit.report.results import results
from selfedit.report.sheet import CSS
from selfedit.report.tables import Problem, RoundRow, reward_unit

ANSWERS_SHOWN = 300
"""Held-out passages whose answers are shown."""


def page(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    """The whole document; `drawn` holds the figures as SVG by name."""
    name = escape(reading.name)
    first, *others = reading.headline
    sections = [
        f'<p class="kicker">selfedit · report on run {name}</p><h1>{prose(first)}</h1>',
        *(f'<p class="lead">{prose(sentence)}</p>' for sentence in others),
        _unfinished(reading.unfinished),
        _problems(reading.problems),
        results(reading, drawn),
        self_edits(reading.examples, reading.evolutions),
        _answers(reading.examples),
        _rounds(reading, drawn),
        bill(reading, drawn),
        _run(reading),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>selfedit · {name}</title><style>{CSS}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _unfinished(lacking: Sequence[str]) -> str:
    if not lacking:
        return ""
    said = "<strong>This run is not finished.</strong> What follows is what there is."
    return f'<div class="banner">{said}{bullets(lacking)}</div>'


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines = []
    for problem in problems:
        reasons = "; ".join(problem.reasons[:3]) if problem.kind != "ungraded" else ""
        line = wording.trouble(problem.kind, problem.number, problem.out_of, problem.stage)
        lines.append(f"{line}: {reasons}" if reasons else line)
    return f'<div class="banner"><strong>Not in any number on this page:</strong>{bullets(lines)}</div>'


def _answers(examples: Sequence[Example]) -> str:
    heldout = [example for example in examples if example.split == "heldout"]
    if not heldout:
        return ""
    first = heldout[0]
    intro = (
        f"Before: {first.before_label}. After: {first.after_label or 'nothing yet'}. "
        "Where there are several seeds, the first one’s answers."
    )
    blocks = "".join(_answered(example) for example in heldout[:ANSWERS_SHOWN])
    rest = left_out(len(heldout) - ANSWERS_SHOWN, "passage")
    return f"<h2>Answers before and after</h2><p>{escape(intro)}</p>{blocks}{rest}"


def _answered(example: Example) -> str:
    rows = "".join(
        html_row(
            [
                escape(pair.question),
                escape(pair.gold),
                _said(pair.before, pair.before_verdict),
                _said(pair.after, pair.after_verdict),
            ]
        )
        for pair in example.answers
    )
    before = _tally(pair.before_verdict for pair in example.answers)
    after = _tally(pair.after_verdict for pair in example.answers)
    table = html_table(["question", "gold answer", "before", "after"], rows, "words")
    return (
        f'<details class="context"><summary>{escape(example.title or example.context_id)} '
        f'<span class="tally">right: {before} → {after}</span></summary>'
        f'<p class="passage">{escape(example.text)}</p>{table}</details>'
    )


def _said(text: str | None, verdict: str | None) -> str:
    if text is None or verdict is None:
        return '<span class="small">not measured</span>'
    mark = {"right": "✓", "wrong": "✗"}.get(verdict, "?")
    said = escape(text.strip()) or '<span class="small">(empty)</span>'
    return f'<span class="{verdict}" title="{verdict}">{mark}</span> {said}'


def _tally(verdicts: Iterable[str | None]) -> str:
    known = [verdict for verdict in verdicts if verdict in ("right", "wrong")]
    return f"{known.count('right')} of {len(known)}" if known else wording.NOTHING


def _rounds(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    if not reading.rounds:
        return ""
    unit = reward_unit([item for items in reading.scored.values() for item in items])
    counted = ["round", "contexts", "self-edits", "invalid", "trials", "failed", "ungraded answers", "kept"]
    heads = [*counted, "mean reward", "best of a context (in-sample)"]
    note = (
        "The best self-edit of a context is picked by the very trials that measured it, so its reward is inflated (the "
        "winner’s curse): it says how much there was to select, not how much was gained. The result is the held-out "
        "table above."
    )
    return "\n".join(
        [
            "<h2>Rounds of training</h2>",
            f"<p>Reward: {escape(unit or 'as configured')}, against the policy of that round before any study.</p>",
            html_table(heads, "".join(_round_row(row) for row in reading.rounds)),
            f'<p class="note">{note}</p>',
            plate(drawn, "reward-distribution"),
            plate(drawn, "rewards"),
        ]
    )


def _round_row(row: RoundRow) -> str:
    cells = [str(row.number), f"{row.contexts:,}", f"{row.edits:,}", loud(row.invalid), f"{row.trials:,}"]
    cells += [loud(row.failed), loud(row.ungraded), f"{row.kept:,}"]
    return html_row([*cells, wording.signed(row.mean_reward), wording.signed(row.best_reward_in_sample)])


def _run(reading: Reading) -> str:
    policies = "".join(
        html_row(
            [
                f"version {policy.version}",
                "the untouched base" if not policy.digest else f"<code>{escape(policy.digest[:16])}</code>",
                "" if policy.parent is None else f"version {policy.parent}",
                str(reading.trained_on.get(policy.version, 0)),
            ]
        )
        for policy in reading.policies
    )
    parts = [
        "<h2>The run</h2>",
        f"<p>This repeats it; on the same run folder, it resumes:</p><pre><code>{escape(reading.command)}</code></pre>",
    ]
    if policies:
        heads = ["policy", "adapter’s SHA-256", "trained from", "on self-edits"]
        parts.append(html_table(heads, policies, "words"))
    ledger = {
        "fingerprint of the ledger": reading.fingerprint,
        **{name: f"{n:,}" for name, n in reading.counts.items()},
    }
    for title, values in (
        ("Facts", flatten(reading.facts)),
        ("Settings", flatten(reading.config)),
        ("Records", ledger),
    ):
        if values:
            rows = "".join(
                html_row([escape(name), f'<span class="mono">{escape(value)}</span>']) for name, value in values.items()
            )
            parts.append(f"<details><summary>{title}</summary>{html_table([], rows, 'words')}</details>")
    return "\n".join(parts)
