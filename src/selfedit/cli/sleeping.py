"""L5. `selfedit learn --watch --sleep-after`: where nothing changes, one adapter is made for all that is known by then.

A document is known as soon as its chunks' adapters are trained; what is gained by one adapter for all is gained later,
when nobody waits. Ctrl-C leaves the version that was live. What was refused, or failed, is not tried again until there
is another version.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from selfedit.cli.consolidate import estimate, figures
from selfedit.cli.output import Output, say, show
from selfedit.disk import told
from selfedit.errors import SelfeditError
from selfedit.learn import Consolidation, Session, settings_of
from selfedit.learn.session import live_version
from selfedit.protocols import Progress
from selfedit.store.library import LibraryFolder


@dataclass
class Sleeper:
    """What a watch does where nothing changes."""

    library: Path
    """Folder of the library."""
    minutes: float
    """So long nothing has changed."""
    tried: int = 0
    """Number of the version that is not tried again; 0: none."""

    def sleep(self, session: Session, progress: Progress, out: Output) -> None:
        """Consolidates the live version where that has lessons which its one adapter does not know, and says what came
        of it in one line. `session`: learns into the library; its model is used."""
        version = 0
        try:
            with LibraryFolder(self.library) as library:
                live = live_version(library)
                if live is None or live.number == self.tried or not live.newer:
                    return
                version = live.number
                held = settings_of(self.library, session.settings.device, session.settings.dtype)
                own = Session(self.library, held, session.load, progress, engines=session.engines)
                due = own.consolidating(library, live)
                if not due.is_due:
                    return
                planned = {} if due.made_before() else estimate(own, due)
            if planned:
                lessons, tokens, minutes = (planned[name] for name in ("lessons", "tokens", "minutes"))
                said = f"one adapter for {lessons} lessons of version {version}, {tokens} tokens, {minutes:g} minutes"
                say(f"learn: nothing has changed for {self.minutes:g} minutes: {said}")
            self.tried = version
            tell_sleep(out, version, own.consolidate(str(version)))
        except (SelfeditError, OSError) as error:
            self.tried = version
            reason = told(error) if isinstance(error, OSError) else error
            say(f"learn: {reason}; one adapter is tried again with the next version")


def tell_sleep(out: Output, before: int, found: Consolidation) -> None:
    """What came of it, in one line. `before`: the version that was live."""
    version = found.version.number if found.version else before
    if out.is_json:
        values = {**figures(found), "version": version, "consolidated": bool(found.version), "is_new": found.is_new}
        print(json.dumps({**values, "reasons": list(found.reasons)}), flush=True)
        return
    if found.version and not found.is_new:
        show(f"version {version} is live again: it has one adapter for these {found.lessons} lessons")
    elif found.version:
        right = f"{found.right_with_one} of {found.questions} right by it, {found.right_with_routing} by routing"
        show(f"version {version}: one adapter for {found.lessons} lessons, {right}, {found.seconds:.1f} s")
    else:
        why = "; ".join(found.reasons)
        show(f"version {version} stays: one adapter for {found.lessons} lessons is refused: {why}")
    sys.stdout.flush()
