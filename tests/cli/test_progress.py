"""What a watcher sees."""

from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TextColumn

from selfedit.cli.progress import LiveProgress, PlainProgress, show_progress


def test_without_a_terminal_a_stage_is_told_in_about_ten_lines() -> None:
    out = io.StringIO()
    progress = PlainProgress(out)
    progress.stage("round-1: trials", 100)
    for _ in range(100):
        progress.advance(1, "best +0.5")
    lines = out.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "round-1: trials (0/100)"
    assert lines[5].startswith("round-1: trials (50/100) · ") and lines[5].endswith(" s left · best +0.5")
    assert lines[-1].startswith("round-1: trials (100/100) · took ")


def test_an_announcement_is_a_line_of_its_own() -> None:
    out = io.StringIO()
    PlainProgress(out).stage("nothing was kept", 0)
    assert out.getvalue() == "nothing was kept\n"


def test_work_from_the_ledger_tells_nothing_about_the_time_left() -> None:
    out = io.StringIO()
    progress = PlainProgress(out)
    progress.stage("trials", 10)
    progress.advance(5, is_recalled=True)
    assert out.getvalue().splitlines()[-1] == "trials (5/10) · from the ledger"


def test_a_stream_that_is_no_terminal_gets_lines() -> None:
    out = io.StringIO()
    with show_progress(out) as progress:
        progress.stage("trials", 1)
    assert out.getvalue() == "trials (0/1)\n"


def test_no_name_or_note_can_steer_a_terminal() -> None:
    plain, out = io.StringIO(), io.StringIO()
    with Bars(TextColumn("{task.description} {task.fields[note]}"), console=Console(file=out, width=80)) as bars:
        for progress in (PlainProgress(plain), LiveProgress(bars)):
            progress.stage("eval \x1b[2J", 0)
            progress.stage("trials \x9b31m", 1)
            progress.advance(1, "best \x1b]0;x\x07")
    for told in (plain.getvalue(), out.getvalue()):
        assert "eval \\x1b[2J" in told and "trials \\x9b31m" in told and "best \\x1b]0;x\\x07" in told
        assert not set(told) & set("\x1b\x9b\x07")


def test_on_a_terminal_stages_stay_in_sight_with_their_notes() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with Bars(TextColumn("{task.description} {task.completed} {task.fields[note]}"), console=console) as bars:
        progress = LiveProgress(bars)
        progress.stage("writing", 2)
        progress.advance(2)
        progress.stage("nothing [was] kept", 0)
        progress.stage("trials", 3)
        progress.advance(1, "best +0.5")
        assert [(task.description, task.completed, task.fields["note"]) for task in bars.tasks] == [
            ("writing", 2, ""),
            ("trials", 1, "best +0.5"),
        ]
    assert "nothing [was] kept" in out.getvalue()
