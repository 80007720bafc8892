"""L4. How noisy the reward is here, beside what the paper's released files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.records import to_json
from selfedit.report import plots, published, wording
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.look import styled
from selfedit.report.parts import Part
from selfedit.report.phrases import basis, estimate_cell, published_points, runs
from selfedit.report.reliability import (
    BestOf,
    Components,
    Estimate,
    Panels,
    best_of,
    components,
    panels_of,
    rank_correlation,
    reliability,
)

STAGE = "round-1"
"""The round whose trials are looked at: all seeds of every self-edit, before anything has been trained."""


def reward(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Variances, reliability by seeds, rank correlation of the two measures, and what picking the best is worth."""
    [part] = parts
    panels = panels_of(part.outcomes.get(STAGE, ()), int(part.config["seeds"]))
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
    with styled():
        one_way = {name: {k: pair[0] for k, pair in by_k.items()} for name, by_k in reliable.items()}
        apart = {f"{name}, seeds apart": {k: pair[1] for k, pair in by_k.items()} for name, by_k in reliable.items()}
        plate = Plate("reward", plots.reliabilities({**one_way, **apart}), "Reliability by seeds, 95 % intervals.")
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
        "runs": runs(parts),
    }
    sentences = (_result(reliable, ks), _told(part, panels), f"Published: {published.REWARD_SOURCE}.", *gaps)
    tables = (_reliabilities(reliable), _variances(variances), _picks(picks, correlation))
    return Document("reward", title, sentences, tables, (plate,), data)


Reliable = Mapping[str, Mapping[int, tuple[Estimate, Estimate]]]


def _result(reliable: Reliable, ks: Sequence[int]) -> str:
    if not ks:
        return "No self-edit has a value under every seed, so there is nothing to tell."
    told = [f"{wording.decimal(by_k[1][0].value)} for {name}" for name, by_k in reliable.items()]
    return f"Reliability of one seed's reward: {', '.join(told)}; published {published.RELIABILITY[1]} for accuracy."


def _told(part: Part, panels: Panels) -> str:
    edits = sum(map(len, panels.accuracy))
    said = (
        f"{basis([part])} {wording.count(len(panels.accuracy), 'training passage')},"
        f" {wording.count(edits, 'self-edit')}, {wording.count(int(part.config['seeds']), 'seed')} each"
    )
    return f"{said}; {wording.count(panels.n_left_out, 'self-edit')} left out for want of a value under every seed."


def _reliabilities(reliable: Reliable) -> Table:
    rows = [
        (
            Cell(f"{name}, {wording.count(k, 'seed')}"),
            estimate_cell(one_way, wording.decimal),
            Cell(wording.decimal(published.RELIABILITY.get(k) if name == "accuracy" else None)),
            estimate_cell(apart, wording.decimal),
        )
        for name, by_k in reliable.items()
        for k, (one_way, apart) in by_k.items()
    ]
    note = (
        "Share of the variance of a mean over so many seeds that lies between a passage's self-edits. The last column"
        " takes out what a seed does to all self-edits of a passage alike, which the common seeds here allow and which"
        " does not change their order."
    )
    return Table("Reliability", ("reward", "ours", "published", "ours, seeds apart"), tuple(rows), note)


def _variances(variances: Mapping[str, Components]) -> Table:
    theirs = {"accuracy": (published.VARIANCE_BETWEEN, published.VARIANCE_WITHIN)}
    rows = [
        (
            Cell(name),
            *(Cell(_small(value)) for value in (found.between, found.within, found.within_apart)),
            *(Cell(_small(value)) for value in theirs.get(name, (None, None))),
        )
        for name, found in variances.items()
    ]
    ours = ("between self-edits", "between seeds", "the same, seeds apart")
    heads = ("reward", *ours, "published, between self-edits", "published, between seeds")
    note = "Unbiased estimates, so that a variance may come out below 0. Units: share², nats²."
    return Table("Variances within a passage", heads, tuple(rows), note)


def _picks(picks: Mapping[tuple[str, str], BestOf], correlation: Estimate) -> Table:
    rows = []
    for (by, on), found in picks.items():
        form = wording.points if on == "accuracy" else wording.signed
        is_theirs = (by, on) == ("accuracy", "accuracy")
        rows.append(
            (
                Cell(f"chosen by {by}, measured in {on}", "points" if on == "accuracy" else "nats"),
                estimate_cell(found.unseen, form),
                estimate_cell(found.in_sample, form),
                published_points(published.BEST_UNSEEN if is_theirs else None),
                published_points(published.BEST_IN_SAMPLE if is_theirs else None),
            )
        )
    note = (
        "Lead of a passage's best self-edit over its mean one. Each seed in turn takes no part in the choice and"
        " measures it (unseen); in-sample is the same lead on the seeds that chose. Rank correlation of logprob with"
        f" accuracy within passages: {wording.decimal(correlation.value)}"
        f" ({wording.between(correlation.low, correlation.high, wording.decimal)}, on"
        f" {wording.count(correlation.n_contexts, 'passage')} where both differ)."
    )
    heads = ("best of a passage", "ours, unseen", "ours, in-sample", "published, unseen", "published, in-sample")
    return Table("What picking the best is worth", heads, tuple(rows), note)


def _small(value: float | None) -> str:
    return wording.NOTHING if value is None else f"{value:.4f}".replace("-", "−")
