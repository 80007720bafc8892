"""L5. `selfedit library consolidate`: one adapter for all that a version knows."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.demo import measure
from selfedit.cli.output import LIBRARY, JsonCommand, Output, say
from selfedit.cli.progress import show_progress
from selfedit.errors import SelfeditError
from selfedit.learn import Consolidation, Session, WholeSettings, load_with, settings_of
from selfedit.learn.consolidation import Consolidating
from selfedit.records import Budget
from selfedit.store.library import LIVE, LibraryFolder

_ASKED = 8
"""What is asked for a lesson, in chunks' questions: of the one adapter, and of those that routing tries."""


@dataclass(frozen=True, kw_only=True)
class Consolidate(JsonCommand):
    """Make one adapter for all that a version knows, from what its lessons studied, and publish it as a new version
    where the gate holds; otherwise nothing is published, and the command fails with the figures."""

    version: Annotated[str, tyro.conf.Positional] = LIVE
    """A version, as for `show`. Where it is the live one, the new version is live."""
    library: Path = LIBRARY
    """Folder of the library."""
    dry_run: bool = False
    """Say what it would take, and do nothing."""
    settings: Annotated[WholeSettings, tyro.conf.arg(name="")] = field(default_factory=WholeSettings)

    def run(self, out: Output) -> None:
        """Consolidates, and says what came of it."""
        with show_progress(sys.stderr) as progress:
            settings = settings_of(self.library)
            session = Session(self.library, settings, load_with(settings), progress)
            with LibraryFolder(self.library) as library:
                version = library.resolve(self.version)
                due = session.consolidating(library, version, self.settings)
                made = due.made_before()
                planned = {} if made else estimate(session, due)
            if self.dry_run:
                out.rows(f"{self.library}: nothing is done yet", {"version": version.number, **planned})
                return
            if planned:
                lessons, tokens, minutes = (planned[name] for name in ("lessons", "tokens", "minutes"))
                say(f"consolidate: {lessons} lessons of version {version.number}, {tokens} tokens, {minutes:g} minutes")
            found = session.consolidate(str(version.number), self.settings)
        if not found.is_new and found.version:
            out.rows(f"{self.library}: nothing to do", {"version": found.version.number})
            return
        out.rows(_title(self.library, found), figures(found))
        if found.reasons:
            raise SelfeditError(f"{self.library}: nothing is published: {'; '.join(found.reasons)}")


def figures(found: Consolidation) -> dict[str, Any]:
    """What came of it, as plain values."""
    return {
        "version": found.version.number if found.version else None,
        "lessons": found.lessons,
        "tokens": found.tokens,
        "questions_asked": found.questions,
        "right_with_routing": found.right_with_routing,
        "right_with_one_adapter": found.right_with_one,
        "gate_gain": found.gate_gain,
        "known_before": found.known_before,
        "still_known": found.still_known,
        "general_text_loses": found.drift,
        "seconds": round(found.seconds, 1),
    }


def _title(path: Path, found: Consolidation) -> str:
    return f"{path.absolute().name}@{found.version.number}" if found.version else f"{path}: the gate does not hold"


def estimate(session: Session, due: Consolidating) -> dict[str, Any]:
    """What a consolidation takes here: lessons, tokens, minutes."""
    lessons, training = due.lessons, due.training
    budget = Budget.parse(training.budget)
    assert budget is not None
    contexts = [one.context for one in lessons if one.context.questions] or [one.context for one in lessons]
    task = due.learning.task(contexts)
    pace = measure(session.engine(), task, replace(training, budget=""), session.settings.sampling)
    seconds = budget.amount * pace.train + _ASKED * len(lessons) * pace.ask
    return {"lessons": len(lessons), "tokens": budget.amount, "minutes": round(seconds / 60, 1)}
