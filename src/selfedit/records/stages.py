"""L0. A stage: the piece of a run that a self-edit, an outcome or a time belongs to.

Its parts are columns in the ledger. Its name is made of them, seeds are derived from it, and it is shown where a short
word is wanted; nothing reads the parts back out of a name but `Stage.parse`, which is for people who type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

StageKind = Literal["round", "eval", "loo", "start", "edits", "sequence", "regrading", "learn", "rethink"]
"""`round`: a round of training. `eval`: a method on held-out contexts. `loo`: self-edits tried with a part of each
context left out. `start`, `edits` and `sequence`: sequences of updates before anything is learnt, self-edits that all
rows share, and a row. `regrading`: verdicts given again. `learn`: documents learnt for good. `rethink`:
parts of contexts left out, and rounds of studying anew, before a context is answered again."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A piece of a run."""

    kind: StageKind
    """What is done in it."""
    method: str = ""
    """`eval`: the method, as in `loop.methods`; of `rethink` too."""
    variant: str = ""
    """`eval`: the prompt, file or model that tells methods of one name apart; empty for the run's own prompt.
    `rethink`: the round, from 1."""
    version: int | None = None
    """`round`: its number. `eval`, `loo` and `rethink`: version of the policy that writes; None where none does."""
    row: str = ""
    """`sequence`: its strategies."""
    chain: int | None = None
    """`sequence`: which sequence, from 0; None for all of a row."""
    step: int | None = None
    """`sequence`: updates done; None for all of a row."""

    @property
    def name(self) -> str:
        """In one word: `round-1`, `eval-synthetic:rewrite-2`, `replay/0/3`."""
        if self.kind == "sequence":
            return "/".join(str(part) for part in (self.row, self.chain, self.step) if part is not None)
        parts = [self.kind, f"{self.method}:{self.variant}" if self.variant else self.method]
        return "-".join(str(part) for part in [*parts, self.version] if part not in ("", None))

    def __str__(self) -> str:
        return self.name

    @classmethod
    def round(cls, number: int) -> Stage:
        """A round of training, from 1."""
        return cls("round", version=number)

    @classmethod
    def of(cls, method: str, version: int | None = None, variant: str = "") -> Stage:
        """A method on held-out contexts."""
        return cls("eval", method, variant, version)

    @classmethod
    def sequence(cls, row: str, chain: int | None = None, step: int | None = None) -> Stage:
        """A row of sequences, or one of its chains after some updates."""
        return cls("sequence", row=row, chain=chain, step=step)

    @classmethod
    def parse(cls, name: str) -> Stage:
        """The stage that a person means by `round-1`, `eval-synthetic:rewrite-2` or `replay/0/3`.

        Raises:
            ValueError: no stage is called so.
        """
        if found := re.fullmatch(r"(.+)/(\d+)/(\d+)", name):
            return cls.sequence(found[1], int(found[2]), int(found[3]))
        if found := re.fullmatch(r"(round|loo)-(\d+)", name):
            return cls("round" if found[1] == "round" else "loo", version=int(found[2]))
        if found := re.fullmatch(r"eval-([a-z-]*[a-z])(?::(.+?))?(?:-(\d+))?", name):
            return cls.of(found[1], int(found[3]) if found[3] else None, found[2] or "")
        if name in ("start", "edits"):
            return cls("start" if name == "start" else "edits")
        raise ValueError(f"{name}: no stage is called so; give round-1, eval-METHOD-VERSION or ROW/SEQUENCE/STEP")


START = Stage("start")
"""Sequences of updates, before anything is learnt."""
SHARED_EDITS = Stage("edits")
"""Self-edits that all rows of sequences share."""
REGRADING = Stage("regrading")
"""Verdicts given again."""
