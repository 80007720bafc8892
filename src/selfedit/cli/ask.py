"""L5. `selfedit ask`: a question put to a library, answered with its source, or not at all."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.output import LIBRARY, JsonCommand, Output, show
from selfedit.cli.progress import show_progress
from selfedit.errors import SettingError
from selfedit.learn import LibraryReply, Session, load_with, settings_of
from selfedit.learn.figures import reply_data
from selfedit.store.library import LIVE, LibraryFolder

UNKNOWN = "I have not learnt this."


@dataclass(frozen=True, kw_only=True)
class Ask(JsonCommand):
    """Ask what a library has learnt: the answer, and the document and page that it came from; or that it has not learnt
    this."""

    question: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="QUESTION")]
    """What is asked."""
    library: Path = LIBRARY
    """Folder of the library."""
    version: str = LIVE
    """`live`, a number, an alias, or the beginning of a digest."""
    why: bool = False
    """Show all that was weighed: what each chunk has of the question, its answer, how sure its adapter is, and how much
    likelier it makes the answer."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""

    def run(self, out: Output) -> None:
        """Asks, and shows the reply."""
        if not self.question.strip():
            raise SettingError("the question is empty")
        with show_progress(sys.stderr) as progress, LibraryFolder(self.library) as library:
            version = library.resolve(self.version)
            settings = settings_of(self.library, self.device, self.dtype)
            session = Session(self.library, settings, load_with(settings), progress)
            [reply] = session.respondent(library, version).answer([self.question])
            named = f"{library.name}@{version.number}"
        if out.is_json:
            out.data({**reply_data(reply), "version": named})
            return
        show(reply.text if reply.is_known else UNKNOWN)
        if reply.is_known:
            show(f"  {reply.place} · {named} · confidence {reply.confidence:.2f}")
        if self.why:
            _show_weighed(reply)


def _show_weighed(reply: LibraryReply) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from selfedit.terminal import escape_controls

    table = Table()
    heads = ("source", "answer", "words in common", "belongs", "log-prob.", "without its adapter", "confidence")
    for head in heads:
        table.add_column(head, overflow="fold")
    for one in reply.tried:
        cells = (
            one.match.context.source,
            one.text,
            f"{one.match.fit.share:.0%}",
            f"{one.match.fit.belonging:.2f}",
            f"{one.sureness:.2f}",
            f"{one.sureness - one.lift:.2f}",
            f"{one.confidence:.2f}",
        )
        table.add_row(*(Text(escape_controls(cell)) for cell in cells))
    Console().print(table)
