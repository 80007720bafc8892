"""L4. How large a demo is: as large as a machine gets through in the time that it is given.

A machine's pace is measured elsewhere (`cli.demo`); from there on it is arithmetic. Estimates are of wall time on one
device and leave out what is small beside them, hence the margin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from selfedit.loop import Row, TrainConfig
from selfedit.loop.evaluation import Family
from selfedit.records import Budget

MARGIN = 0.85
"""Of the time that is left, what a demo may be estimated to take."""
PAGE_SECONDS, PAGE_TOKENS = 10.0, 700
"""Of tables, figures and page: at least, and as long as training on so many tokens takes: it follows the machine."""
UPDATE_TOKENS, UPDATE_SLOWER = 400, 2.0
"""Of a self-edit with its prompt, in the policy's update; and how much slower a token is there, where all layers are
adapted."""
TOGETHER = 8
"""Texts written together when a pace is measured. Fewer take as long: each step reads all weights once."""
ONLY_ASKED: tuple[Family, ...] = ("baseline", "in-sight")
"""Families of methods that study nothing."""
WRITING: tuple[Family, ...] = ("policy", "policy-writes", "teacher")
"""Families of methods whose self-edits are written for them."""
SIZES = (
    (16, 5, 64),
    (12, 5, 48),
    (12, 4, 32),
    (10, 4, 24),
    (8, 4, 20),
    (8, 4, 16),
    (6, 4, 12),
    (6, 4, 10),
    (6, 3, 8),
    (5, 3, 8),
    (4, 3, 8),
    (4, 3, 6),
    (3, 3, 6),
    (3, 2, 6),
    (2, 2, 6),
    (1, 2, 6),
)
"""Training passages, self-edits of each, held-out passages: from the largest demo down. On fewer than six held-out ones
no report calls a difference clear."""
SHORTER = (
    (1, 2, 4, 2000, 128),
    (1, 2, 3, 2000, 128),
    (1, 2, 2, 2000, 96),
    (1, 2, 2, 1400, 96),
    (1, 2, 2, 1000, 96),
    (1, 2, 2, 700, 64),
    (1, 2, 2, 500, 64),
)
"""The same where even the last of them takes too long, with tokens of a study, and of a self-edit at most. Passages go
before tokens, for a study that is too short teaches nothing that could be shown. A study is one pass at least, which
comes to some 400 tokens here."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that pieces of work take on a machine."""

    train: float
    """A token trained on."""
    write: float
    """A token written, of `TOGETHER` texts at once."""
    ask: float
    """A passage's questions answered."""

    @property
    def page(self) -> float:
        """The report at the end."""
        return max(PAGE_SECONDS, PAGE_TOKENS * self.train)


@dataclass(frozen=True, slots=True)
class HeldoutRows:
    """How many rows a held-out table has, by what they cost."""

    asked: int
    """All of them: each passage's questions are answered."""
    studied: int
    """Those with a study of each passage."""
    written: int
    """Those with a self-edit of each passage."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> HeldoutRows:
        """Of these rows."""
        families = [row.method.family for row in rows]
        studied = sum(family not in ONLY_ASKED for family in families)
        return cls(len(families), studied, sum(family in WRITING for family in families))


@dataclass(frozen=True, slots=True)
class SizedDemo:
    """A demo in the size that suits a machine."""

    settings: TrainConfig
    """The recipe in its size."""
    seconds: float
    """What it is estimated to take, with its page."""
    is_fitting: bool
    """Whether that leaves the margin; False only for the smallest."""


def sized(recipe: TrainConfig, pace: Pace, seconds: float, rows: HeldoutRows) -> SizedDemo:
    """The largest demo whose estimate leaves a margin of `seconds`, the time that is left; the smallest where none
    does."""
    for settings in ladder(recipe):
        needed = estimate_seconds(settings, pace, rows)
        if needed <= MARGIN * seconds:
            return SizedDemo(settings, needed, is_fitting=True)
    return SizedDemo(settings, needed, is_fitting=False)


def ladder(recipe: TrainConfig) -> Iterator[TrainConfig]:
    """The recipe in every size, the largest first: fewer passages, then shorter studies and self-edits."""
    for contexts, edits, heldout in SIZES:
        yield recipe.model_copy(update={"contexts": contexts, "edits": edits, "heldout": heldout})
    for contexts, edits, heldout, tokens, written in SHORTER:
        update = {
            "contexts": contexts,
            "edits": edits,
            "heldout": heldout,
            "inner": replace(recipe.inner, budget=f"tokens:{tokens}"),
            "sampling": replace(recipe.sampling, max_new_tokens=written),
        }
        yield recipe.model_copy(update=update)


def estimate_seconds(settings: TrainConfig, pace: Pace, rows: HeldoutRows) -> float:
    """Wall time of a demo of one round, from its first held-out question to its page."""
    heldout, contexts = settings.heldout * settings.heldout_seeds, settings.contexts
    tried = contexts * settings.edits * settings.seeds
    studies = tried + rows.studied * heldout
    asked = contexts + tried + rows.asked * heldout
    texts = max(TOGETHER, contexts * settings.edits) + rows.written * max(TOGETHER, settings.heldout)
    updated = contexts * settings.outer.epochs * UPDATE_TOKENS * UPDATE_SLOWER
    trained = studies * study_tokens(settings) + updated
    written = texts * settings.sampling.max_new_tokens
    return trained * pace.train + written * pace.write + asked * pace.ask + pace.page


def longest_piece(settings: TrainConfig, pace: Pace, bank: int) -> float:
    """Seconds of the largest group of trials, which begins and ends as a whole; `bank`: trials of a group at most."""
    trials = min(bank, max(settings.heldout, settings.contexts * settings.edits))
    return trials * (study_tokens(settings) * pace.train + pace.ask)


def study_tokens(settings: TrainConfig) -> int:
    """Tokens that a study trains on.

    Raises:
        ValueError: the settings have no budget of tokens.
    """
    budget = Budget.parse(settings.inner.budget)
    if budget is None or budget.unit != "tokens":
        raise ValueError(f"a demo is sized by tokens, not by {settings.inner.budget or 'epochs'}")
    return budget.amount
