"""L4. Sections on what was written: self-edits with what they earned, round by round, and answers before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from selfedit.records import Verdict
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Card, Cards, Cell, Details, Figure, Heading, Paragraph
from selfedit.report.figures import edits as edit_figures
from selfedit.report.run_data import RunData
from selfedit.report.tables.edits import ContextResult, EditResult
from selfedit.report.tables.stages import RoundRow, reward_unit

CONTEXTS_SHOWN, EVOLUTIONS_SHOWN, EVOLUTIONS_OPEN, ANSWERS_SHOWN = 8, 30, 3, 300
"""Contexts: with self-edits, in each round and among the held-out ones; with versions side by side, and of these those
that stand open; with answers. The first ones, not the best."""


def self_edits(results: Sequence[ContextResult], evolutions: Sequence[ContextResult], noun: str) -> list[Block]:
    """Self-edits side by side where several policies wrote about one context, as cards elsewhere."""
    in_columns = {edit.key for evolution in evolutions[:EVOLUTIONS_SHOWN] for edit in evolution.edits}
    blocks = _versions(evolutions, noun)
    for title, members in groupby(results, key=lambda result: _group_title(result, noun)):
        shown = [
            (result, edits)
            for result in members
            if (edits := [one for one in result.edits if result.split == "train" or one.key not in in_columns])
        ]
        if shown:
            is_rest = bool(evolutions) and shown[0][0].split == "heldout"
            blocks.append(Heading(f"{title}, other self-edits" if is_rest else title, 3))
            blocks += [_context(*one, is_open=place == 0) for place, one in enumerate(shown[:CONTEXTS_SHOWN])]
            blocks += _left_out(len(shown) - CONTEXTS_SHOWN, "context")
    if not blocks:
        return []
    intro = (
        "The first contexts of each kind, in the run’s order. In training, each self-edit of a context is tried, and"
        " the marked ones train the next policy. A reward is what its own trials measured, so the best of several is"
        " too good to be true on average; held-out self-edits are not selected."
    )
    return [Heading("Self-edits and what they earned"), Paragraph(intro), *blocks]


def _versions(evolutions: Sequence[ContextResult], noun: str) -> list[Block]:
    """What versions of the policy wrote about the same contexts, in columns."""
    if not evolutions:
        return []
    intro = f"What each version of the policy wrote about the same held-out {noun}, its first draw each."
    if any(edit.logprob_gain is not None for evolution in evolutions for edit in evolution.edits):
        intro += " What it earned is measured against the untouched model."
    rows = [
        edit_figures.TextRow(
            evolution.title or evolution.context_id,
            [edit_figures.TextColumn(fmt.when(edit.stage), _in_two_lines(edit), edit.text) for edit in evolution.edits],
        )
        for evolution in evolutions[: edit_figures.CONTEXTS_DRAWN]
    ]
    figure = Figure(
        "self-edits",
        lambda: edit_figures.side_by_side(rows),
        f"Held-out {noun}s, the first in the run’s order: what each version of the policy wrote about them, and what"
        " studying it earned against the untouched model. Long texts end in ….",
        f"Self-edits about the same {noun}s, version by version",
    )
    blocks: list[Block] = [Heading(f"The same {noun}, version by version", 3), Paragraph(intro)]
    for place, evolution in enumerate(evolutions[:EVOLUTIONS_SHOWN]):
        gains = [fmt.signed(edit.logprob_gain) for edit in evolution.edits if edit.logprob_gain is not None]
        cards = Cards(tuple(map(_column, evolution.edits)), is_side_by_side=True)
        blocks.append(
            Details(
                evolution.title or evolution.context_id,
                (*_read(evolution), cards),
                tally=f"gold log-probability {' → '.join(gains)} nats" if gains else "",
                is_open=place < EVOLUTIONS_OPEN,
                is_context=True,
            )
        )
    picture = Details("The first of them as a picture", (figure,))
    return [*blocks, *_left_out(len(evolutions) - EVOLUTIONS_SHOWN, noun), picture]


def _read(result: ContextResult) -> list[Block]:
    """What was studied, and where that is from."""
    place = [Paragraph(f"From {result.source}", kind="note")] if result.source else []
    return [*place, Paragraph(result.text, kind="passage")]


def _in_two_lines(edit: EditResult) -> str:
    """What a self-edit earned, in two short lines."""
    if trouble := edit.invalid or edit.failure:
        return f"{'invalid, not tried' if edit.invalid else 'trial failed'}\n{fmt.one_line(trouble, 24)}"
    if edit.logprob_gain is None and edit.accuracy_gain is None:
        return _earned(edit)
    return f"log-prob. {fmt.signed(edit.logprob_gain)} nats\naccuracy {fmt.points(edit.accuracy_gain)} points"


def _column(edit: EditResult) -> Card:
    trouble = edit.invalid or edit.failure
    return Card(fmt.when(edit.stage), trouble or _earned(edit), edit.text, kind="invalid" if trouble else "")


def _earned(edit: EditResult, reward: float | None = None) -> str:
    """What a self-edit earned, in one line, or why one that is sound has nothing to show."""
    parts = [f"reward {fmt.signed(reward)}"] if reward is not None else []
    if edit.accuracy_gain is not None:
        parts.append(f"accuracy {fmt.points(edit.accuracy_gain)} points")
    if edit.logprob_gain is not None:
        parts.append(f"gold log-probability {fmt.signed(edit.logprob_gain)} nats")
    return " · ".join(parts) or ("not tried on its own" if edit.stage.kind == "eval" else "no reward")


def _group_title(result: ContextResult, noun: str) -> str:
    if result.split == "heldout":
        return f"Held-out {noun}s"
    return f"Training, {fmt.stage_label(result.edits[0].stage).lower()}"


def _context(result: ContextResult, edits: Sequence[EditResult], is_open: bool) -> Details:
    rewards = [edit.reward for edit in edits if edit.reward is not None]
    tally = fmt.count(len(edits), "self-edit")
    if rewards:
        tally += f", rewards {fmt.between(min(rewards), max(rewards), fmt.signed)}"
    cards = Cards(tuple(map(_card, edits)))
    blocks = *_read(result), cards
    return Details(result.title or result.context_id, blocks, tally, is_open, is_context=True)


def _card(edit: EditResult) -> Card:
    lead = fmt.signed(edit.reward) if edit.reward is not None else ""
    detail = edit.invalid or edit.failure or _earned(edit)
    is_heldout = edit.stage.kind == "eval"
    if edit.invalid:
        tag = "✕ invalid, not tried"
        tag = f"{tag} · {fmt.written_by(edit.stage)}" if is_heldout else tag
        return Card(tag, detail, edit.text, lead, "invalid")
    if edit.failure:
        return Card("✕ trial failed", detail, edit.text, lead, "invalid")
    if edit.is_kept:
        return Card("◆ kept: trains the next policy", detail, edit.text, lead, "kept")
    method = fmt.method_of(edit.stage)
    how = f", {method.remark}" if method and method.remark else ""
    return Card(fmt.written_by(edit.stage) + how if is_heldout else "not kept", detail, edit.text, lead)


def _left_out(number: int, noun: str) -> list[Block]:
    """How many are not shown; nothing where all are."""
    said = f"… and {fmt.count(number, noun)} more, in the ledger."
    return [Paragraph(said, kind="note")] if number > 0 else []


def two_edits(results: Sequence[ContextResult], evolutions: Sequence[ContextResult]) -> Cards:
    """Two self-edits about one context, for a terminal: the best and the worst rewarded one of the first context that
    has two, or those of the first and the last policy; else whatever there is."""
    shown = _two(results, evolutions)
    return Cards(tuple(_printed(edit, title) for edit, title in shown))


def _two(results: Sequence[ContextResult], evolutions: Sequence[ContextResult]) -> list[tuple[EditResult, str]]:
    for result in results:
        rewarded = [edit for edit in result.edits if edit.reward is not None]
        if len(rewarded) > 1:
            return [(rewarded[0], result.title), (rewarded[-1], result.title)]
    for evolution in evolutions:
        return [(evolution.edits[0], evolution.title), (evolution.edits[-1], evolution.title)]
    return [(result.edits[0], result.title) for result in results if result.edits][:2]


def _printed(edit: EditResult, title: str) -> Card:
    earned = _earned(edit, edit.reward)
    tag = f"{fmt.one_line(title, 60)} · {fmt.stage_label(edit.stage)}"
    return Card(tag, f"{earned} · kept" if edit.is_kept else earned, edit.text)


def answers(results: Sequence[ContextResult], noun: str) -> list[Block]:
    """Held-out questions with their answers before and after."""
    heldout = [result for result in results if result.split == "heldout"]
    if not heldout:
        return []
    intro = (
        f"Before: {heldout[0].before_label}. After: {heldout[0].after_label or 'nothing yet'}. Where there are several"
        " seeds, the first one’s answers."
    )
    blocks = [_answered(result) for result in heldout[:ANSWERS_SHOWN]]
    rest = _left_out(len(heldout) - ANSWERS_SHOWN, noun)
    return [Heading("Answers before and after"), Paragraph(intro), *blocks, *rest]


def _answered(result: ContextResult) -> Details:
    before = _tally(pair.before_verdict for pair in result.answers)
    after = _tally(pair.after_verdict for pair in result.answers)
    table = fmt.table_of(
        "",
        result.answers,
        {
            "question": lambda pair: pair.question,
            "gold answer": lambda pair: pair.gold,
            "before": lambda pair: said(pair.before, pair.before_verdict),
            "after": lambda pair: said(pair.after, pair.after_verdict),
        },
        is_words=True,
    )
    blocks = *_read(result), table
    return Details(result.title or result.context_id, blocks, f"right: {before} → {after}", is_context=True)


def said(text: str | None, verdict: Verdict | None) -> Cell:
    """An answer with its verdict."""
    if text is None or verdict is None:
        return Cell("not measured", tone="muted")
    return Cell(text.strip(), tone=verdict)


def _tally(verdicts: Iterable[Verdict | None]) -> str:
    known = [verdict for verdict in verdicts if verdict in ("correct", "incorrect")]
    return f"{known.count('correct')} of {len(known)}" if known else fmt.NOTHING


def rounds(run: RunData, rows: Sequence[RoundRow]) -> list[Block]:
    """Training, round by round."""
    if not rows:
        return []
    unit = reward_unit(run)
    table = fmt.table_of(
        "",
        rows,
        {
            "round": lambda row: str(row.number),
            "contexts": lambda row: f"{row.contexts:,}",
            "self-edits": lambda row: f"{row.edits:,}",
            "invalid": lambda row: fmt.loud_cell(row.invalid),
            "trials": lambda row: f"{row.trials:,}",
            "failed": lambda row: fmt.loud_cell(row.failed),
            "ungraded answers": lambda row: fmt.loud_cell(row.ungraded),
            "kept": lambda row: f"{row.kept:,}",
            "mean reward": lambda row: fmt.signed(row.mean_reward),
            "best of a context (in-sample)": lambda row: fmt.signed(row.best_reward_in_sample),
        },
        "The best self-edit of a context is picked by the very trials that measured it, so its reward is inflated (the"
        " winner’s curse): it says how much there was to select, not how much was gained. The result is the held-out"
        " table above.",
    )
    scored = {fmt.stage_label(stage): run.scored[stage] for stage in run.rounds if stage in run.scored}
    titles = {context.id: context.title for context in run.contexts}
    return [
        Heading("Rounds of training"),
        Paragraph(f"Reward: {unit or 'as configured'}, against the policy of that round before any study."),
        table,
        Figure(
            "reward-distribution",
            lambda: edit_figures.reward_distribution(scored, unit),
            "Training: every reward of a round, the kept ones once more below, each with median and quartiles. The kept"
            " ones are in-sample: these very rewards chose them, so they look better than they are (the winner’s"
            " curse).",
            "Rewards by round",
        ),
        Figure(
            "rewards",
            lambda: edit_figures.rewards(scored, titles, unit),
            "Training: the reward of every self-edit, one row per context. Selection lives on the spread within a row."
            " The rightmost dot looks better than it is, since the same trials chose it.",
            "Reward of every self-edit",
        ),
    ]
