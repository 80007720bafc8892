"""L4. How noisy the reward is here, beside what the paper's released files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.records import Stage, to_json
from selfedit.report import format as fmt
from selfedit.report import published
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.paper.match import basis
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.reliability import (
    BestOf,
    Components,
    PanelInterval,
    Panels,
    best_of,
    components,
    panels_of,
    rank_correlation,
    reliability,
)

STAGE = Stage.round(1)
"""The round whose trials are looked at: all seeds of every self-edit, before anything has been trained."""
Reliable = Mapping[str, Mapping[int, tuple[PanelInterval, PanelInterval]]]
"""Measure → seeds in the mean → reliability, one-way and with seeds apart."""


def reward(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Variances, reliability by seeds, rank correlation of the two measures, and what picking the best is worth."""
    [run] = runs
    panels = panels_of(run.outcomes.get(STAGE, ()), int(run.config["seeds"]))
    measures = {"accuracy": panels.accuracy, "logprob": panels.logprob}
    ks = sorted({1, panels.n_seeds} - {0})
    reliable = {
        name: {k: (reliability(values, k), reliability(values, k, is_apart=True)) for k in ks}
        for name, values in measures.items()
    }
    variances = {name: components(values) for name, values in measures.items()}
    correlation = rank_correlation(panels.logprob, panels.accuracy)
    picks = {
        (by, on): best_of(measures[by], measures[on])
        for by, on in (("accuracy", "accuracy"), ("logprob", "accuracy"), ("logprob", "logprob"))
    }
    lines = {
        f"ours: {name}{told}": {k: pair[place] for k, pair in by_k.items()}
        for place, told in enumerate(("", ", seeds apart"))
        for name, by_k in reliable.items()
    }
    figure = Figure(
        "reward", lambda: charts.by_seeds(lines, published.RELIABILITY), "Reliability by seeds, 95 % intervals."
    )
    data = {
        "variances": to_json(variances),
        "reliability": {
            name: {str(k): {"one_way": to_json(pair[0]), "seeds_apart": to_json(pair[1])} for k, pair in by_k.items()}
            for name, by_k in reliable.items()
        },
        "rank_correlation": to_json(correlation),
        "best_of": [{"chosen_by": by, "measured_in": on, **to_json(found)} for (by, on), found in picks.items()],
        "left_out": panels.n_left_out,
        "published": {
            "reliability": {str(k): value for k, value in published.RELIABILITY.items()},
            "variance_between": published.VARIANCE_BETWEEN,
            "variance_within": published.VARIANCE_WITHIN,
            "best_unseen_points": published.BEST_UNSEEN,
            "best_in_sample_points": published.BEST_IN_SAMPLE,
            "source": published.REWARD_SOURCE,
        },
        "runs": identify(runs),
    }
    sentences = _result(reliable, ks), _rests_on(run, panels), f"Published: {published.REWARD_SOURCE}.", *gaps
    tables = _variance_table(variances, run.noun), _pick_table(picks, correlation, run.noun)
    return document_of("reward", title, sentences, (_reliability_table(reliable, run.noun), figure, *tables), data)


def _result(reliable: Reliable, ks: Sequence[int]) -> str:
    if not ks:
        return "No self-edit has a value under every seed, so there is nothing to tell."
    told = [f"{fmt.nats(by_k[1][0].value)} for {name}" for name, by_k in reliable.items()]
    return f"Reliability of one seed's reward: {', '.join(told)}; published {published.RELIABILITY[1]} for accuracy."


def _rests_on(run: RunData, panels: Panels) -> str:
    edits = sum(map(len, panels.accuracy))
    said = (
        f"{basis([run])} {fmt.count(len(panels.accuracy), f'training {run.noun}')},"
        f" {fmt.count(edits, 'self-edit')}, {fmt.count(int(run.config['seeds']), 'seed')} each"
    )
    return f"{said}; {fmt.count(panels.n_left_out, 'self-edit')} left out for want of a value under every seed."


def _reliability_table(reliable: Reliable, noun: str) -> Table:
    return fmt.table_of(
        "Reliability",
        [(name, k, *pair) for name, by_k in reliable.items() for k, pair in by_k.items()],
        {
            "reward": lambda row: f"{row[0]}, {fmt.count(row[1], 'seed')}",
            "ours": lambda row: fmt.ranged_cell(row[2], fmt.nats),
            "published": lambda row: fmt.nats(published.RELIABILITY.get(row[1]) if row[0] == "accuracy" else None),
            "ours, seeds apart": lambda row: fmt.ranged_cell(row[3], fmt.nats),
        },
        f"Share of the variance of a mean over so many seeds that lies between a {noun}'s self-edits. The last column"
        f" takes out what a seed does to all self-edits of a {noun} alike, which the common seeds here allow and which"
        " does not change their order.",
    )


def _variance_table(variances: Mapping[str, Components], noun: str) -> Table:
    theirs = {"accuracy": (published.VARIANCE_BETWEEN, published.VARIANCE_WITHIN)}
    return fmt.table_of(
        f"Variances within a {noun}",
        [(name, found, *theirs.get(name, (None, None))) for name, found in variances.items()],
        {
            "reward": lambda row: row[0],
            "between self-edits": lambda row: fmt.small(row[1].between),
            "between seeds": lambda row: fmt.small(row[1].within),
            "the same, seeds apart": lambda row: fmt.small(row[1].within_apart),
            "published, between self-edits": lambda row: fmt.small(row[2]),
            "published, between seeds": lambda row: fmt.small(row[3]),
        },
        "Unbiased estimates, so that a variance may come out below 0. Units: share², nats².",
    )


def _pick_table(picks: Mapping[tuple[str, str], BestOf], correlation: PanelInterval, noun: str) -> Table:
    def form(on: str) -> fmt.Form:
        return fmt.points if on == "accuracy" else fmt.signed

    theirs = {("accuracy", "accuracy"): (published.BEST_UNSEEN, published.BEST_IN_SAMPLE)}
    return fmt.table_of(
        "What picking the best is worth",
        [(by, on, found, *theirs.get((by, on), (None, None))) for (by, on), found in picks.items()],
        {
            f"best of a {noun}": lambda row: Cell(
                f"chosen by {row[0]}, measured in {row[1]}", "points" if row[1] == "accuracy" else "nats"
            ),
            "ours, unseen": lambda row: fmt.ranged_cell(row[2].unseen, form(row[1])),
            "ours, in-sample": lambda row: fmt.ranged_cell(row[2].in_sample, form(row[1])),
            "published, unseen": lambda row: fmt.published_points(row[3]),
            "published, in-sample": lambda row: fmt.published_points(row[4]),
        },
        f"Lead of a {noun}'s best self-edit over its mean one. Each seed in turn takes no part in the choice and"
        " measures it (unseen); in-sample is the same lead on the seeds that chose. Rank correlation of logprob with"
        f" accuracy within {noun}s: {fmt.nats(correlation.value)}"
        f" ({fmt.between(correlation.low, correlation.high, fmt.nats)}, on"
        f" {fmt.count(correlation.n_contexts, noun)} where both differ).",
    )
