"""Whether tests that a model makes itself choose the self-edits that people's questions would.

    python benchmarks/self_tests.py try --data val.jsonl --contexts 60 --out trials.jsonl [--share 1/2]
    python benchmarks/self_tests.py tell trials.jsonl [more.jsonl] --out self-tests.json

`try`: the model writes self-edits of each passage and, apart from that, questions about it; each self-edit is studied,
and the passage's own questions, the written and the cloze ones are put to the result. People's questions choose nothing
and are seen by no prompt. A line a passage, so that the same command goes on where it was stopped.
`tell`: by test, the rank correlation of its reward (mean log-probability of its gold answers) with that of people's
questions over the self-edits of a passage; what the self-edit that it chooses is worth by people's questions, above one
drawn at random; and the share of what choosing by these very questions is worth. `halves`: the rank correlation of
every second of people's questions with the others; `ceiling`: what that leaves for any test to reach. Intervals of
95 %, passages resampled.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from selfedit import UNTOUCHED, AdapterFolders, PassagesTask, load_engine, seeds
from selfedit.grading import contains, f1
from selfedit.loop.trials import compile_edit, trial_seed
from selfedit.protocols import Engine
from selfedit.recipes import RECIPES
from selfedit.records import (
    Completion,
    Context,
    Generation,
    Query,
    Question,
    SamplingParams,
    Trial,
    TrialSpec,
    digest,
    to_json,
)
from selfedit.report.stats.intervals import bootstrap
from selfedit.report.stats.reliability import PanelInterval, rank_correlation
from selfedit.store.adapters import adapter_in, shipped_questioner
from selfedit.tasks.documents.cloze import cloze_questions
from selfedit.tasks.documents.written import Questioner, draft_questions, try_drafts
from selfedit.tasks.passages.files import read_passages

TESTS = ("people", "written", "drafts", "cloze", "both")
"""By whose questions; `drafts`: all that were written, also those that were not kept; `both`: written and cloze."""
Row = dict[str, object]


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    trying, telling = verbs.add_parser("try"), verbs.add_parser("tell")
    trying.add_argument("--data", required=True)
    trying.add_argument("--contexts", type=int, default=60)
    trying.add_argument("--edits", type=int, default=8)
    trying.add_argument("--budget", default="tokens:2000")
    trying.add_argument("--rate", type=float, default=4e-3)
    trying.add_argument("--questioner", default="", help="an adapter's folder; empty: the one that ships")
    trying.add_argument("--learner", default="shipped")
    trying.add_argument("--share", default="1/1", help="2/3: the second of three parts, for several processes")
    trying.add_argument("--seed", type=int, default=1)
    trying.add_argument("--out", type=Path, required=True)
    telling.add_argument("files", nargs="+", type=Path)
    telling.add_argument("--out", type=Path)
    args = flags.parse_args()
    if args.verb == "try":
        try_all(args)
    else:
        rows = [json.loads(line) for file in args.files for line in file.read_text().splitlines()]
        told = tell(rows)
        print(json.dumps(told, indent=1))
        if args.out:
            args.out.write_text(json.dumps({"command": "benchmarks/self_tests.py", **told}, indent=1) + "\n")


def try_all(args: argparse.Namespace) -> None:
    """Appends a line for each passage that is not there yet."""
    part, parts = map(int, args.share.split("/"))
    contexts = [context for _, context in read_passages(Path(args.data))][: args.contexts][part - 1 :: parts]
    done = {json.loads(line)["id"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    engine = load_engine("smollm2-135m", adapters=AdapterFolders(Path("runs/self-tests")))
    for context in contexts:
        if context.id not in done:
            row = try_one(context, engine, args)
            with args.out.open("a") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def try_one(context: Context, engine: Engine, args: argparse.Namespace) -> Row:
    """What all questions say of each self-edit of a passage."""
    began = time.monotonic()
    learner = adapter_in(args.learner)
    writer = adapter_in(args.questioner) if args.questioner else shipped_questioner()
    questioner = Questioner(writer, learner, is_taught=True)
    drafts, dropped = draft_questions(context, engine, questioner, args.seed)
    kept, failing = try_drafts(context, drafts, engine, learner, args.seed)
    are_kept = {one.draft for one in kept}
    cloze = cloze_questions(context.title, context.text)
    asked_at = time.monotonic()
    asked = [
        *(replace(one, id=f"people-{number}") for number, one in enumerate(context.questions)),
        *(Question(f"drafts-{n}", one.question, one.answer) for n, one in enumerate(drafts) if one not in are_kept),
        *(Question(f"written-{number}", one.draft.question, one.draft.answer) for number, one in enumerate(kept)),
        *(Question(f"cloze-{number}", one.question, one.answer) for number, one in enumerate(cloze)),
    ]
    task = PassagesTask((replace(context, questions=tuple(asked)),), (), "implications", answer_tokens=16)
    [all_asked] = task.contexts("train")
    texts = _write(engine, task, all_asked, args)
    inner = replace(RECIPES["embedded"].inner, budget=args.budget, learning_rate=args.rate)
    seed = trial_seed(args.seed, context.id, 0)
    specs = [spec for text in texts if isinstance(spec := compile_edit(task, all_asked, text), TrialSpec)]
    specs = [TrialSpec((), tuple(map(_heard, task.compile(all_asked, None).queries)))] + [
        replace(spec, queries=tuple(map(_heard, spec.queries))) for spec in specs
    ]
    trials = [Trial(digest(spec, inner, seed), spec, inner, seed, learner) for spec in specs]
    groups = [trials[:1], *(trials[at : at + engine.bank_size] for at in range(1, len(trials), engine.bank_size))]
    results = {done.group: done.results for done in engine.run_trials(groups)}
    outcomes = [
        {one.question_id: [one.gold_logprob, one.text] for one in result.answers} if not result.failure else {}
        for number in range(len(groups))
        for result in results[number]
    ]
    return {
        "id": context.id,
        "title": context.title,
        "questions": [asdict(one) for one in asked],
        "dropped": dict(dropped + failing),
        "edits": texts,
        "untrained": outcomes[0],
        "outcomes": outcomes[1:],
        "seconds": {"asking": asked_at - began, "studying": time.monotonic() - asked_at},
    }


def _heard(query: Query) -> Query:
    """People's questions are answered in words; of the others the log-probability is enough."""
    return query if query.question_id.startswith("people-") else replace(query, max_new_tokens=0)


def _write(engine: Engine, task: PassagesTask, context: Context, args: argparse.Namespace) -> list[str]:
    sampling = SamplingParams(temperature=0.8, max_new_tokens=96)
    prompt = task.prompt(context)
    group = [
        Generation(UNTOUCHED, prompt, sampling, seeds.derive(args.seed, "write", context.id, draw))
        for draw in range(args.edits)
    ]
    [done] = engine.generate([group])
    return [one.text for one in done.results if isinstance(one, Completion)]


def tell(rows: Sequence[Row]) -> dict[str, object]:
    """The tables."""
    passages = [Passage(row) for row in rows]
    told: dict[str, object] = {
        "passages": len(passages),
        "self_edits": sum(len(one.outcomes) for one in passages),
        "seconds_of_asking": sum(one.seconds["asking"] for one in passages),
        "seconds_of_studying": sum(one.seconds["studying"] for one in passages),
        "dropped": {
            reason: sum(one.dropped.get(reason, 0) for one in passages)
            for reason in sorted({reason for one in passages for reason in one.dropped})
        },
    }
    agreed = halves(passages)
    told["halves"] = to_json(agreed)
    told["ceiling"] = {
        name: ceiling(value)
        for name, value in (("value", agreed.value), ("low", agreed.low), ("high", agreed.high))
        if value is not None
    }
    for test in TESTS:
        held = [one for one in passages if one.questions(test) and len(one.outcomes) > 1]
        told[test] = {
            "passages": len(held),
            "questions": sum(len(one.questions(test)) for one in held),
            "rank_correlation": to_json(
                rank_correlation([one.panel(test) for one in held], [one.panel("people") for one in held])
            ),
            "chosen_over_random": {
                name: _chosen(held, test, measure) for name, measure in MEASURES.items()
            },
        }  # fmt: skip
    return told


def halves(passages: Sequence[Passage]) -> PanelInterval:
    """How far every second of people's questions agrees with the others of a passage, by rank correlation over its
    self-edits: what two tests by the same people agree in, and so about what any other test can be asked for."""
    held = [one for one in passages if len(one.questions("people")) > 1 and len(one.outcomes) > 1]

    def panel(one: Passage, start: int) -> np.ndarray:
        asked = one.questions("people")[start::2]
        return np.array([[fmean(outcome[name][0] for name in asked)] for outcome in one.outcomes])

    return rank_correlation([panel(one, 0) for one in held], [panel(one, 1) for one in held])


def ceiling(halves_agree: float) -> float:
    """The correlation with all of people's questions that the truth itself would have, were there nothing but the noise
    between halves: the root of their reliability, by Spearman and Brown."""
    return (2 * max(0.0, halves_agree) / (1 + max(0.0, halves_agree))) ** 0.5


class Passage:
    """One line of `try`."""

    def __init__(self, row: Mapping[str, object]) -> None:
        self.row = row
        self.gold_of = {one["id"]: one["answer"] for one in row["questions"]}
        self.outcomes: list[dict[str, tuple[float, str]]] = [one for one in row["outcomes"] if one]
        self.seconds: dict[str, float] = row["seconds"]
        self.dropped: dict[str, int] = row["dropped"]

    def questions(self, test: str) -> list[str]:
        """Ids of a test's questions."""
        kinds = {"drafts": ("drafts", "written"), "both": ("written", "cloze")}.get(test, (test,))
        return [one for one in self.gold_of if one.partition("-")[0] in kinds]

    def rewards(self, test: str) -> list[float]:
        """By self-edit: mean log-probability of the gold answers."""
        return [fmean(outcome[one][0] for one in self.questions(test)) for outcome in self.outcomes]

    def panel(self, test: str) -> np.ndarray:
        """Rewards as a column."""
        return np.array(self.rewards(test))[:, None]

    def by_people(self, measure: Callable[[str, float, str], float]) -> list[float]:
        """By self-edit: mean over people's questions."""
        asked = self.questions("people")
        return [fmean(measure(self.gold_of[one], *outcome[one]) for one in asked) for outcome in self.outcomes]


MEASURES: Mapping[str, Callable[[str, float, str], float]] = {
    "logprob": lambda gold, logprob, text: logprob,
    "f1": lambda gold, logprob, text: f1(gold, text),
    "contains": lambda gold, logprob, text: float(contains(gold, text)),
}


def _chosen(held: Sequence[Passage], test: str, measure: Callable[[str, float, str], float]) -> dict[str, object]:
    """What the self-edit that a test chooses has more than the mean one, by people's questions, and how much of what
    choosing by people's questions has."""
    gains, labelled = [], []
    for one in held:
        worth = one.by_people(measure)
        gains.append(worth[int(np.argmax(one.rewards(test)))] - fmean(worth))
        labelled.append(worth[int(np.argmax(one.rewards("people")))] - fmean(worth))
    draws = np.random.default_rng(0).integers(0, len(held), (10_000, len(held)))
    whole = np.array(labelled)[draws].sum(axis=1)
    is_told = sum(labelled) > 0 and bool((whole > 0).all())  # else there is nothing to have a share of
    shares = np.array(gains)[draws].sum(axis=1) / whole if is_told else None
    return {
        "mean_of_all": fmean(value for one in held for value in one.by_people(measure)),
        "gain": to_json(bootstrap({(one.row["id"], ""): gain for one, gain in zip(held, gains, strict=True)})),
        "share_of_labelled": sum(gains) / sum(labelled) if is_told else None,
        "share_interval": np.quantile(shares, (0.025, 0.975)).tolist() if shares is not None else None,
    }


if __name__ == "__main__":
    main()
