"""L4. The run as one HTML file that needs nothing else: style and figures stand inside it, and nothing is fetched.

Whatever a model or a data file said passes through `html.escape` on its way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from selfedit.report import wording
from selfedit.report.examples import EditCard, Example
from selfedit.report.intervals import Interval
from selfedit.report.plates import plate
from selfedit.report.reading import Reading, flatten
from selfedit.report.sheet import CSS
from selfedit.report.tables import GainRow, MethodRow, Problem, RoundRow, final_stage, reward_unit

CONTEXTS_SHOWN = 8
"""Contexts whose self-edits are shown, in each round and among the held-out ones: the first, not the best."""
ANSWERS_SHOWN = 300
"""Held-out passages whose answers are shown."""
PREVIEW = 240
"""Characters of a self-edit that are shown before it is unfolded."""


def page(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    """The whole document; `drawn` holds the figures as SVG by name."""
    name = escape(reading.name)
    first, *others = reading.headline
    sections = [
        f'<p class="kicker">selfedit · report on run {name}</p><h1>{_prose(first)}</h1>',
        *(f'<p class="lead">{_prose(sentence)}</p>' for sentence in others),
        _unfinished(reading.unfinished),
        _problems(reading.problems),
        _results(reading, drawn),
        _edits(reading.examples),
        _answers(reading.examples),
        _rounds(reading, drawn),
        _cost(reading, drawn),
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
    return f'<div class="banner">{said}{_list(lacking)}</div>'


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines = []
    for problem in problems:
        reasons = "; ".join(problem.reasons[:3]) if problem.kind != "ungraded" else ""
        line = wording.trouble(problem.kind, problem.number, problem.out_of, problem.stage)
        lines.append(f"{line}: {reasons}" if reasons else line)
    return f'<div class="banner"><strong>Not in any number on this page:</strong>{_list(lines)}</div>'


def _results(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    if not reading.methods:
        return ""
    final = final_stage(row.stage for row in reading.methods)
    methods = "".join(_method_row(row, is_main=row.stage == final) for row in reading.methods)
    gains = "".join(_gain_row(row) for row in reading.gains)
    note = (
        "Small print under a number is its 95 % interval, by resampling whole passages 2,000 times. A difference is "
        "called clear only when its interval leaves out 0, on at least six passages."
    )
    parts = [
        "<h2>Before and after, on held-out passages</h2>",
        "<p>These passages never trained the policy, and questions are asked without them. This is the result.</p>",
        _table(
            [
                "method",
                "accuracy, %",
                "gold log-probability, nats per token",
                "questions",
                "passages",
                "failed trials",
                "ungraded answers",
                "time per trial",
            ],
            methods,
        ),
        f'<p class="note">{note}</p>',
    ]
    if gains:
        heads = [
            "difference on the same questions",
            "accuracy, points",
            "gold log-probability, nats per token",
            "questions",
        ]
        parts += ["<h3>Differences</h3>", _table(heads, gains)]
    return "\n".join([*parts, plate(drawn, "methods"), plate(drawn, "learning-curve")])


def _method_row(row: MethodRow, is_main: bool) -> str:
    return _row(
        [
            escape(row.label),
            _ranged(row.accuracy, row.accuracy_low, row.accuracy_high, wording.percent),
            _ranged(row.logprob, row.logprob_low, row.logprob_high, wording.nats),
            f"{row.n_questions:,}",
            f"{row.n_contexts:,}",
            _loud(row.failed),
            _loud(row.ungraded),
            wording.duration(row.seconds_per_trial),
        ],
        "main" if is_main else "",
    )


def _gain_row(row: GainRow) -> str:
    after, before = escape(wording.stage_label(row.after)), escape(wording.stage_label(row.before))
    label = f'{after}<span class="range">against: {before}</span>'
    return _row(
        [
            label,
            _change(row.accuracy, wording.points),
            _change(row.logprob, wording.signed),
            f"{row.accuracy.n_questions:,}",
        ]
    )


def _change(interval: Interval, form: wording.Form) -> str:
    verdict = wording.verdict(interval)
    return f'{_ranged(interval.value, interval.low, interval.high, form)}<span class="range">{verdict}</span>'


def _ranged(value: float | None, low: float | None, high: float | None, form: wording.Form) -> str:
    range_ = f'<span class="range">{wording.between(low, high, form)}</span>' if low is not None else ""
    return f"{form(value)}{range_}"


def _loud(number: int) -> str:
    return f'<strong class="wrong">{number:,}</strong>' if number else "0"


def _edits(examples: Sequence[Example]) -> str:
    groups = [
        (title, [example for example in members if example.cards])
        for title, members in groupby(examples, key=_group_title)
    ]
    parts = [_edit_group(title, members) for title, members in groups if members]
    if not parts:
        return ""
    intro = (
        "The first contexts of each kind, in the run’s order. In training, each self-edit of a context is tried, and "
        "the marked ones train the next policy. A reward is what its own trials measured, so the best of several is "
        "too good to be true on average; held-out self-edits are drawn once and not selected."
    )
    return f"<h2>Self-edits and what they earned</h2><p>{intro}</p>{''.join(parts)}"


def _group_title(example: Example) -> str:
    if example.split == "heldout":
        return "Held-out passages"
    return f"Training, {wording.stage_label(example.cards[0].stage).lower()}"


def _edit_group(title: str, members: Sequence[Example]) -> str:
    contexts = "".join(_context(example, is_open=place == 0) for place, example in enumerate(members[:CONTEXTS_SHOWN]))
    rest = _rest(len(members) - CONTEXTS_SHOWN, "context")
    return f"<h3>{escape(title)}</h3>{contexts}{rest}"


def _context(example: Example, is_open: bool) -> str:
    cards = "".join(_card(card) for card in example.cards)
    best = [card.reward for card in example.cards if card.reward is not None]
    tally = f"{wording.count(len(example.cards), 'self-edit')}"
    if best:
        tally += f", rewards {wording.between(min(best), max(best), wording.signed)}"
    return (
        f'<details class="context"{" open" if is_open else ""}><summary>{escape(example.title or example.context_id)} '
        f'<span class="tally">{tally}</span></summary>'
        f'<p class="passage">{escape(example.text)}</p><div class="cards">{cards}</div></details>'
    )


def _card(card: EditCard) -> str:
    kind, tag = _standing(card)
    lead = wording.signed(card.reward) if card.reward is not None else ""
    earned = wording.earned(None, card.accuracy_gain, card.logprob_gain)
    trouble = card.invalid or card.failure
    detail = escape(trouble) if trouble else escape(earned)
    return (
        f'<article class="card {kind}"><header>{f"<span class=reward>{lead}</span>" if lead else ""}'
        f'<span class="tag">{escape(tag)}</span></header><p class="small">{detail}</p>{_folded(card.text)}</article>'
    )


def _standing(card: EditCard) -> tuple[str, str]:
    """CSS class and tag of a card."""
    if card.invalid:
        return "invalid", "✕ invalid, not tried"
    if card.failure:
        return "invalid", "✕ trial failed"
    if card.is_kept:
        return "kept", "◆ kept: trains the next policy"
    if card.stage.startswith("eval-"):
        number = wording.stage_number(card.stage)
        return "", f"written after RL update {number}" if number else "written by the untrained policy"
    return "", "not kept"


def _folded(text: str) -> str:
    if not text.strip():
        return '<p class="text small">(empty)</p>'
    if len(text) <= PREVIEW * 1.3:
        return f'<p class="text">{escape(text)}</p>'
    return (
        f'<div class="fold"><p class="text preview">{escape(text[:PREVIEW].rstrip())}…</p>'
        f'<details><summary class="small">full text, {len(text):,} characters</summary>'
        f'<p class="text">{escape(text)}</p></details></div>'
    )


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
    rest = _rest(len(heldout) - ANSWERS_SHOWN, "passage")
    return f"<h2>Answers before and after</h2><p>{escape(intro)}</p>{blocks}{rest}"


def _answered(example: Example) -> str:
    rows = "".join(
        _row(
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
    table = _table(["question", "gold answer", "before", "after"], rows, "words")
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
            _table(heads, "".join(_round_row(row) for row in reading.rounds)),
            f'<p class="note">{note}</p>',
            plate(drawn, "rewards"),
        ]
    )


def _round_row(row: RoundRow) -> str:
    cells = [str(row.number), f"{row.contexts:,}", f"{row.edits:,}", _loud(row.invalid), f"{row.trials:,}"]
    cells += [_loud(row.failed), _loud(row.ungraded), f"{row.kept:,}"]
    return _row([*cells, wording.signed(row.mean_reward), wording.signed(row.best_reward_in_sample)])


def _cost(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    if not reading.timings:
        return ""
    total = wording.duration(sum(reading.timings.values()))
    return f"<h2>Cost</h2><p>{total} of wall time in all.</p>{plate(drawn, 'cost')}"


def _run(reading: Reading) -> str:
    policies = "".join(
        _row(
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
        parts.append(_table(heads, policies, "words"))
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
                _row([escape(name), f'<span class="mono">{escape(value)}</span>']) for name, value in values.items()
            )
            parts.append(f"<details><summary>{title}</summary>{_table([], rows, 'words')}</details>")
    return "\n".join(parts)


def _prose(text: str) -> str:
    """A sentence whose numbers keep their percent sign on their own line."""
    return escape(text).replace(" %", "&nbsp;%")


def _table(heads: Sequence[str], rows: str, kind: str = "") -> str:
    """`rows` is ready HTML; the heads are ours."""
    head = f"<thead><tr>{''.join(f'<th scope=col>{escape(name)}</th>' for name in heads)}</tr></thead>" if heads else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{rows}</tbody></table></div>'


def _row(cells: Iterable[str], kind: str = "") -> str:
    """`cells` are ready HTML."""
    return f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _rest(number: int, noun: str) -> str:
    return f'<p class="note">… and {wording.count(number, noun)} more, in the ledger.</p>' if number > 0 else ""
