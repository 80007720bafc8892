"""L5. `selfedit forget`: a document is known no more, and nothing of it is kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.learn import ROUTED_AGAIN
from selfedit.cli.output import LIBRARY, JsonCommand, Output, say
from selfedit.cli.progress import show_progress
from selfedit.learn import Session, load_with, settings_of
from selfedit.learn.session import live_version
from selfedit.store.library import LibraryFolder


@dataclass(frozen=True, kw_only=True)
class Forget(JsonCommand):
    """Forget documents for good: their lessons, adapters and questions are deleted, and so is every version that knew
    them. The version that is live afterwards is what it would be, had they never been learnt. The files themselves are
    left alone; while they lie in a folder that is learnt, the next `learn` learns them again."""

    documents: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DOCUMENT")]
    """Names as `selfedit library list` shows them."""
    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Forgets, and says what is left."""
        with show_progress(sys.stderr) as progress:
            settings = settings_of(self.library)
            with LibraryFolder(self.library) as library:
                before = live_version(library)
            version = Session(self.library, settings, load_with(settings), progress).forget(self.documents)
        told = {
            "forgotten": list(self.documents) if out.is_json else ", ".join(self.documents),
            "documents_left": len(version.documents),
            "version": version.number,
            "digest": version.digest,
        }
        out.rows(str(self.library), told)
        if before and before.whole.adapter and not version.whole.adapter:
            say(f"{self.library}: {ROUTED_AGAIN} --library {self.library}")
