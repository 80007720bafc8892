"""L5. `selfedit setup`: the embedded model, fetched once."""

from __future__ import annotations

from dataclasses import dataclass

from selfedit.cli.output import Command, Output, show


@dataclass(frozen=True, kw_only=True)
class SetUp(Command):
    """Fetch the embedded model into the cache, once."""

    def run(self, out: Output) -> None:
        """Fetches the model, and says where it is."""
        from selfedit.engine.model.loading import fetch_embedded

        show(str(fetch_embedded()))
