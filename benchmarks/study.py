"""What a passage is studied as, when nobody writes about it: texts, questions with their answers, or both.

    python benchmarks/study.py write --data train.jsonl --lines 101-150 --out drafts.jsonl
    python benchmarks/study.py try --data train.jsonl --lines 101-150 --drafts drafts.jsonl --out study.jsonl
    python benchmarks/study.py tell study.jsonl [more.jsonl] --out study.json

`write`: the shipped questioner writes questions about each passage. `try`: each passage is studied in each of `PLANS`
(or those of `--only`) on the shipped learner, all at one budget of tokens (prompts count), and people's questions,
which no study has seen, are put to the result. `tell`: right answers (`contains`), overlap (F1) and log-probability by
plan, and the difference from the passage's own sentences on the same questions, with intervals of 95 %, passages
resampled.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from selfedit import AdapterFolders, PassagesTask, load_engine
from selfedit.edits import split_sentences
from selfedit.grading import contains, f1
from selfedit.loop.trials import trial_seed
from selfedit.recipes import RECIPES
from selfedit.records import Context, Example, Question, Trial, TrialSpec
from selfedit.report.stats.intervals import bootstrap
from selfedit.store.adapters import adapter_in, shipped_questioner
from selfedit.tasks.documents.cloze import cloze_questions
from selfedit.tasks.documents.written import Questioner, draft_questions
from selfedit.tasks.passages.files import read_passages

CONTROL = "sentences"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one study shows."""

    sentences: bool = True
    """The passage's own sentences, each behind the title."""
    cloze: bool = False
    """Sentences with a blank, as questions."""
    drafts: bool = False
    """Questions that the shipped questioner wrote."""
    whole: bool = False
    """Loss on the questions too, and not on the answers alone."""
    budget: int = 2_000
    """Tokens, those of prompts included."""
    rate: float = 4e-3
    rank: int = 16


PLANS = {
    CONTROL: Plan(),
    "cloze": Plan(cloze=True),
    "cloze-alone": Plan(sentences=False, cloze=True),
    "cloze-whole": Plan(sentences=False, cloze=True, whole=True),
    "drafts": Plan(drafts=True),
    "drafts-whole": Plan(drafts=True, whole=True),
    "drafts-alone": Plan(sentences=False, drafts=True, whole=True),
    "all-whole": Plan(cloze=True, drafts=True, whole=True),
    "sentences-4000": Plan(budget=4_000),
    "drafts-4000": Plan(drafts=True, budget=4_000),
    "drafts-whole-4000": Plan(drafts=True, whole=True, budget=4_000),
    "drafts-whole-2e-3": Plan(drafts=True, whole=True, rate=2e-3),
    "sentences-2e-3": Plan(rate=2e-3),
    "sentences-rank-4": Plan(rank=4),
    "drafts-whole-8000": Plan(drafts=True, whole=True, budget=8_000, rate=2e-3),
}


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    for name in ("write", "try"):
        verb = verbs.add_parser(name)
        verb.add_argument("--data", type=Path, required=True)
        verb.add_argument("--lines", default="", help="of the data: 101-150; empty: all")
        verb.add_argument("--seed", type=int, default=1)
        verb.add_argument("--out", type=Path, required=True)
        if name == "try":
            verb.add_argument("--drafts", type=Path)
            verb.add_argument("--only", default=",".join(PLANS))
    telling = verbs.add_parser("tell")
    telling.add_argument("files", nargs="+", type=Path)
    telling.add_argument("--out", type=Path)
    args = flags.parse_args()
    {"write": write, "try": try_all, "tell": tell}[args.verb](args)


def read(args: argparse.Namespace) -> list[Context]:
    """The passages that are meant."""
    contexts = [context for _, context in read_passages(args.data)]
    first, _, last = args.lines.partition("-")
    return contexts[int(first) - 1 : int(last)] if args.lines else contexts


def done(path: Path, *names: str) -> set[tuple[str, ...]]:
    """What the file holds already."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(str(json.loads(line)[name]) for name in names) for line in lines}


def write(args: argparse.Namespace) -> None:
    """Appends a line of questions for each passage that has none yet."""
    engine = load_engine("smollm2-135m", adapters=AdapterFolders(Path("runs/study")))
    questioner = Questioner(shipped_questioner(), adapter_in("shipped"), is_taught=True)
    held = done(args.out, "id")
    for context in read(args):
        if (context.id,) not in held:
            drafts, _ = draft_questions(context, engine, questioner, args.seed)
            asked = [{"question": one.question, "answer": one.answer} for one in drafts]
            append(args.out, {"id": context.id, "drafts": asked})


def try_all(args: argparse.Namespace) -> None:
    """Appends what each passage answers after each plan that has not been tried on it yet."""
    engine = load_engine("smollm2-135m", adapters=AdapterFolders(Path("runs/study")))
    learner = adapter_in("shipped")
    contexts, held = read(args), done(args.out, "plan", "id")
    lines = [json.loads(line) for line in args.drafts.read_text().splitlines()] if args.drafts else []
    drafts = {line["id"]: [Question(str(n), **one) for n, one in enumerate(line["drafts"])] for line in lines}
    task = PassagesTask(tuple(contexts), (), "implications", answer_tokens=16)
    for name in args.only.split(","):
        plan = PLANS[name]
        inner = replace(
            RECIPES["embedded"].inner, budget=f"tokens:{plan.budget}", learning_rate=plan.rate, rank=plan.rank
        )
        due = [one for one in task.contexts("train") if (name, one.id) not in held]
        began = time.monotonic()
        trials = [
            Trial(
                one.id,
                TrialSpec(study(task, one, plan, drafts.get(one.id, [])), task.compile(one, None).queries),
                inner,
                trial_seed(args.seed, one.id, 0),
                learner,
            )
            for one in due
        ]
        size = max(1, engine.bank_size)
        groups = [trials[at : at + size] for at in range(0, len(trials), size)]
        for finished in engine.run_trials(groups):
            for trial, result in zip(groups[finished.group], finished.results, strict=True):
                golds = {query.question_id: query.gold for query in trial.spec.queries}
                answers = [[one.gold_logprob, golds[one.question_id], one.text] for one in result.answers]
                row = {"plan": name, "id": result.key, "tokens": result.tokens, "failure": result.failure}
                append(args.out, {**row, "seconds": result.seconds, "answers": answers})
        print(name, len(due), f"{time.monotonic() - began:.1f} s", flush=True)


def study(task: PassagesTask, context: Context, plan: Plan, drafts: Sequence[Question]) -> tuple[Example, ...]:
    """What is shown of a passage: always itself, and what the plan says."""
    text = split_sentences(context.text) if plan.sentences else None
    asked = list(drafts) if plan.drafts else []
    if plan.cloze:
        found = cloze_questions(context.title, context.text)
        asked += [Question(f"c{n}", one.question, one.answer) for n, one in enumerate(found)]
    exam = task.exam(replace(context, questions=tuple(asked)), "short") if asked else ()
    if plan.whole:
        exam = tuple(replace(one, loss_on="all") for one in exam)
    return (*task.compile(context, text).examples, *exam)


def append(path: Path, row: Mapping[str, object]) -> None:
    """One more line."""
    with path.open("a") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


Answer = tuple[float, str, str]
"""Log-probability of the gold answer (nats per token), the gold answer, what was said."""
MEASURES: dict[str, Callable[[Answer], float]] = {
    "contains": lambda one: 100.0 * contains(one[1], one[2]),
    "f1": lambda one: 100.0 * f1(one[1], one[2]),
    "logprob": lambda one: one[0],
}


def tell(args: argparse.Namespace) -> None:
    """The table."""
    rows = [json.loads(line) for file in args.files for line in file.read_text().splitlines()]
    by_plan: dict[str, dict[str, dict]] = {}
    for row in rows:
        by_plan.setdefault(row["plan"], {})[row["id"]] = row
    control = by_plan[CONTROL]
    told = {}
    for name, held in by_plan.items():
        shared = [one for one in held if not held[one]["failure"] and one in control and not control[one]["failure"]]
        figures = {
            "passages": len(shared),
            "failed": sum(bool(row["failure"]) for row in held.values()),
            "questions": sum(len(held[one]["answers"]) for one in shared),
            "tokens": round(fmean(held[one]["tokens"] for one in shared)),
            "words": round(fmean(len(a[2].split()) for one in shared for a in held[one]["answers"]), 1),
        }
        for measure, of in MEASURES.items():
            own = [[of(a) for a in held[one]["answers"]] for one in shared]
            theirs = [[of(a) for a in control[one]["answers"]] for one in shared]
            figures[measure] = interval(own)
            gains = [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(own, theirs, strict=True)]
            figures[f"{measure}_above_sentences"] = interval(gains)
        told[name] = figures
        print(name, json.dumps(figures))
    if args.out:
        args.out.write_text(json.dumps({"command": "benchmarks/study.py", "plans": told}, indent=1) + "\n")


def interval(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean over questions with its interval, passages resampled."""
    by_question = {(str(n), str(m)): value for n, own in enumerate(values) for m, value in enumerate(own)}
    found = bootstrap(by_question)
    return {name: round(getattr(found, name), 2) for name in ("value", "low", "high")}


if __name__ == "__main__":
    main()
