"""L5. What every command takes, and where results go: tables or JSON on standard output, the rest on standard error."""

from __future__ import annotations

import codecs
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfedit.terminal import escape_controls

LIBRARY = Path("library")
"""Where a library lies where nobody says."""

if TYPE_CHECKING:
    from selfedit.report.blocks import Document


@dataclass(frozen=True, slots=True)
class Output:
    """How a command was called, and how it answers."""

    words: tuple[str, ...]
    """The command line behind the program."""
    is_json: bool = False
    """True: JSON, and nothing else, goes to standard output."""
    program: str = "selfedit"
    """What was called."""

    @property
    def command(self) -> str:
        """What repeats the command."""
        return shlex.join([self.program, *self.words])

    def data(self, value: Any) -> None:
        """JSON on standard output; in ASCII where that takes no UTF-8, and would escape letters in its own way."""
        is_unicode = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8"
        print(json.dumps(value, indent=2, ensure_ascii=not is_unicode))

    def rows(self, title: str, rows: Mapping[str, Any]) -> None:
        """Names with values, as a table or as JSON."""
        if self.is_json:
            self.data(dict(rows))
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(escape_controls(title)), show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in rows.items():
            shown = "none" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
            table.add_row(name.replace("_", " "), Text(escape_controls(shown)))
        Console().print(table)

    def report(self, run: Path, to: Path | None = None, trusted: Path | None = None) -> None:
        """The tables of a run go to standard output; then its page is rebuilt, in the run or in the folder `to`.
        `trusted`: a file of verdicts that correct the numbers."""
        from rich.console import Console

        from selfedit import report

        if self.is_json:
            self.data(report.summary(run, trusted))
        else:
            report.print_summary(run, Console(), trusted)
        if to is None and not os.access(run, os.W_OK | os.X_OK):
            say(f"no page: {run} cannot be written; `selfedit report {shlex.quote(str(run))} --to FOLDER` makes one")
            return
        page = report.build_report(run, to, trusted)
        if self.is_json:
            say(f"report: {page}")
        else:
            show(f"\nreport: {page}")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What every command takes."""

    debug: bool = False
    """Show the traceback of an error."""

    def run(self, out: Output) -> None:
        """Does what the command says."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class JsonCommand(Command):
    """A command whose output is data."""

    json: bool = False
    """Print JSON, and nothing else, on standard output."""

    @classmethod
    def default_words(cls, words: Sequence[str]) -> Sequence[str]:
        """The words that a run's default settings come from."""
        return words


def say(line: str) -> None:
    """A line on standard error; what a terminal would obey in it is shown."""
    print(escape_controls(line), file=sys.stderr)


def show(line: str) -> None:
    """A line on standard output; what a terminal would obey in it is shown."""
    print(escape_controls(line))


def show_document(root: Path, told: Document, out: Output) -> None:
    """Writes a document as files, and shows it, or as JSON its data, with where its page is."""
    from rich.console import Console

    from selfedit.report import document

    page = document.write_document(root, told)
    if out.is_json:
        out.data(told.data)
        say(f"page: {page}")
    else:
        document.print_document(told, Console())
        show(f"\npage: {page}")
