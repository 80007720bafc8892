"""L4. The part of a page that previews add: how many self-edits were tried in full, and what previews foretold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from selfedit.records import Stage
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Heading, Paragraph
from selfedit.report.run_data import RunData
from selfedit.report.stats.reliability import PanelInterval, rank_correlation

FEWEST = 3
"""Self-edits of a context between which a correlation says something."""


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """The previews of one round."""

    stage: Stage
    previews: int
    failed: int
    """Of these, failed."""
    tried: int
    """Self-edits with a preview that have a reward, for they were tried in full."""
    rank_correlation: PanelInterval
    """Between preview and reward within a context (Spearman), mean over contexts with three or more tried. Only the
    promising ones were tried, which lowers it."""
    tokens_share: float | None
    """Tokens of a preview, as a share of those of a trial."""
    seconds_share: float | None
    """The same of wall time."""


def preview_rows(run: RunData) -> list[PreviewRow]:
    """A row for each round."""
    return [_row(run, stage) for stage in run.previews]


def previews(run: RunData) -> list[Block]:
    """The table under what it means."""
    told = (
        f"Every self-edit had a preview: two steps at a high rate, and of each question how likely the gold answer had"
        f" become. Only the {run.config.get('preview')} most promising of each {run.noun} were tried in full; the"
        " others have no reward, and train nothing."
    )
    table = fmt.table_of(
        "",
        preview_rows(run),
        {
            "round": lambda row: fmt.stage_label(row.stage),
            "previews": lambda row: f"{row.previews:,}",
            "tried in full": lambda row: f"{row.tried:,}",
            "rank correlation of preview and reward": lambda row: fmt.ranged_cell(row.rank_correlation, fmt.nats),
            "tokens, % of a trial’s": lambda row: fmt.percent(row.tokens_share),
            "time, % of a trial’s": lambda row: fmt.percent(row.seconds_share),
            "failed previews": lambda row: fmt.loud_cell(row.failed),
        },
        f"The correlation is within {run.noun}s, where three or more were tried; that only promising ones were tried"
        " lowers it.",
    )
    return [Heading("Previews"), Paragraph(told), table]


def _row(run: RunData, stage: Stage) -> PreviewRow:
    made = run.previews[stage]
    outcomes = [one for one in run.outcomes.get(stage, ()) if one.edit_key and one.status == "done"]
    reward_of = {one.edit_key: one.reward for one in run.scored.get(stage, ()) if one.reward is not None}
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in made:
        if one.logprob is not None and one.edit_key in reward_of:
            pairs[one.context_id].append((one.logprob, reward_of[one.edit_key]))
    both = [np.array(some) for some in pairs.values() if len(some) >= FEWEST]
    good = [one for one in made if not one.failure]
    return PreviewRow(
        stage=stage,
        previews=len(made),
        failed=sum(bool(one.failure) for one in made),
        tried=sum(map(len, pairs.values())),
        rank_correlation=rank_correlation([one[:, :1] for one in both], [one[:, 1:] for one in both]),
        tokens_share=_share([one.tokens for one in good], [one.tokens for one in outcomes]),
        seconds_share=_share([one.seconds for one in good], [one.seconds for one in outcomes]),
    )


def _share(parts: Sequence[float], wholes: Sequence[float]) -> float | None:
    return fmean(parts) / fmean(wholes) if parts and wholes and fmean(wholes) else None
