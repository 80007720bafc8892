"""L4. A run folder in; its page, its tables as data, or its tables on a terminal out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfedit.records import to_json
from selfedit.report import wording
from selfedit.report.examples import EditCard
from selfedit.report.figures import draw_figures
from selfedit.report.intervals import Interval
from selfedit.report.page import page
from selfedit.report.reading import Reading, read_run

EXAMPLES_PRINTED = 2
GAINS_PRINTED = 8
"""Differences on a terminal; the page has all."""


def build_report(run: Path) -> Path:
    """Writes `run/figures/` and `run/report.html`; returns the page's path. A file is replaced whole or not at all."""
    reading = read_run(run)
    (run / "figures").mkdir(exist_ok=True)
    drawn = draw_figures(reading, run / "figures", write_whole)
    path = run / "report.html"
    write_whole(path, page(reading, drawn).encode("utf-8", "replace"))
    return path


def summary(run: Path) -> dict[str, Any]:
    """Every table of the run as JSON-ready values, in full precision."""
    reading = read_run(run)
    return {
        "run": {
            "name": reading.name,
            "command": reading.command,
            "config": reading.config,
            "facts": reading.facts,
            "fingerprint": reading.fingerprint,
            "is_finished": not reading.unfinished,
            "unfinished": reading.unfinished,
        },
        "headline": reading.headline,
        "methods": to_json(reading.methods),
        "gains": to_json(reading.gains),
        "rounds": to_json(reading.rounds),
        "problems": to_json(reading.problems),
        "policies": to_json(reading.policies),
        "counts": reading.counts,
        "timings": reading.timings,
        "costs": to_json(reading.costs),
        "usages": to_json(reading.usages),
    }


def print_summary(run: Path, console: Console) -> None:
    """The result on a terminal: headline, methods, gains, two self-edits."""
    reading = read_run(run)
    for sentence in reading.headline:
        console.print(Text(sentence, style="bold" if sentence is reading.headline[0] else ""))
    if reading.unfinished:
        console.print(Text("Not finished: " + "; ".join(reading.unfinished), style="yellow"))
    for problem in reading.problems:
        console.print(
            Text(wording.trouble(problem.kind, problem.number, problem.out_of, problem.stage), style="yellow")
        )
    if reading.methods:
        console.print(_methods(reading))
    if reading.gains:
        console.print(_gains(reading))
    if (more := len(reading.gains) - GAINS_PRINTED) > 0:
        console.print(Text(f"… and {wording.count(more, 'more difference')}, on the page", style="dim"))
    for card, title in _two_cards(reading):
        console.print(_card_lines(card, title))


def _methods(reading: Reading) -> Table:
    table = Table(title="Held-out passages (95 % intervals below)", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("method", min_width=20)
    for heading in ("accuracy %", "gold log-prob., nats", "questions", "passages"):
        table.add_column(heading, justify="right")
    for row in reading.methods:
        table.add_row(
            Text(row.label),
            _ranged(row.accuracy, row.accuracy_low, row.accuracy_high, wording.percent),
            _ranged(row.logprob, row.logprob_low, row.logprob_high, wording.nats),
            str(row.n_questions),
            str(row.n_contexts),
        )
    return table


def _ranged(value: float | None, low: float | None, high: float | None, form: wording.Form) -> Text:
    return Text.assemble(form(value), ("\n" + wording.between(low, high, form), "dim"))


def _gains(reading: Reading) -> Table:
    table = Table(title="Differences on the same questions", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("after, against before", "accuracy, points", "gold log-probability, nats"):
        table.add_column(heading)
    for gain in reading.gains[:GAINS_PRINTED]:
        table.add_row(
            Text.assemble(wording.stage_label(gain.after), ("\n" + wording.stage_label(gain.before), "dim")),
            _changed(gain.accuracy, wording.points),
            _changed(gain.logprob, wording.signed),
        )
    return table


def _changed(change: Interval, form: wording.Form) -> Text:
    told = _ranged(change.value, change.low, change.high, form)
    return told.append(": " + wording.verdict(change), "dim")


def _two_cards(reading: Reading) -> list[tuple[EditCard, str]]:
    """Two self-edits about one context, with its title: the best and the worst rewarded one of the first context that
    has two, or those of the first and the last policy; else whatever there is."""
    for example in reading.examples:
        rewarded = [card for card in example.cards if card.reward is not None]
        if len(rewarded) > 1:
            return [(rewarded[0], example.title), (rewarded[-1], example.title)]
    for evolution in reading.evolutions:
        return [(evolution.cards[0], evolution.title), (evolution.cards[-1], evolution.title)]
    return [(example.cards[0], example.title) for example in reading.examples if example.cards][:EXAMPLES_PRINTED]


def _card_lines(card: EditCard, title: str) -> Text:
    earned = wording.earned(card.reward, card.accuracy_gain, card.logprob_gain) or wording.unearned(card.stage)
    head = [
        wording.one_line(title, 60),
        wording.stage_label(card.stage),
        earned,
        "kept" if card.is_kept else "",
    ]
    return Text.assemble(
        "\n", (" · ".join(part for part in head if part), "bold"), "\n", wording.one_line(card.text, 320)
    )


def write_whole(path: Path, content: bytes) -> None:
    """Replaces `path` in one step, so that a reader sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
