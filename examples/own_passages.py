# %% [markdown]
# # A model studies your own passages
#
# Four passages about things that do not exist, so that no model can know the answers beforehand; put your own file in
# their place. The cells run one after another in a notebook, and the whole as `python examples/own_passages.py`: three
# to four minutes on two cores. `SELFEDIT_MODEL` names another model, `SELFEDIT_RUN` another folder for what is kept.

# %%
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from selfedit import (
    UNTOUCHED,
    AdapterFolders,
    Context,
    Generation,
    InvalidEdit,
    Ledger,
    PassagesTask,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Update,
    grade_answers,
    load_engine,
    load_grader,
    load_passages,
    seeds,
)
from selfedit.cli.main import main
from selfedit.records import GradedAnswer

DATA = Path(__file__).with_name("passages.jsonl") if "__file__" in globals() else Path("examples/passages.jsonl")
MODEL = os.environ.get("SELFEDIT_MODEL", "smollm2-135m")
RUN = Path(os.environ.get("SELFEDIT_RUN", "runs/own-passages"))
SETTINGS = TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=6)
console = Console(width=110)

# %% [markdown]
# ## Load
# The last 40 % of a file are held out; here two passages to look at closely, two for the comparison at the end.
# `validate` checks, without a model, that the gold answers would earn full marks.

# %%
train, heldout = load_passages(str(DATA))
task = PassagesTask(train, heldout, "implications")
task.validate()
engine = load_engine(MODEL, adapters=AdapterFolders(RUN))
grader = load_grader("contains")


def tried(trials: Sequence[Trial]) -> list[tuple[GradedAnswer, ...]]:
    """The graded answers of each trial, none where it failed. All of them are one group, and share the bank."""
    [done] = engine.run_trials([trials])
    return [graded(trial.spec, result) for trial, result in zip(trials, done.results, strict=True)]


def graded(spec: TrialSpec, result: TrialResult) -> tuple[GradedAnswer, ...]:
    return grade_answers(grader, spec.queries, result.answers) if not result.failure else ()


def correct(answers: Sequence[GradedAnswer]) -> str:
    return f"{sum(answer.verdict == 'correct' for answer in answers)} of {len(answers)}" if answers else "failed"


def logprob(answers: Sequence[GradedAnswer]) -> float:
    return sum(answer.gold_logprob for answer in answers) / len(answers) if answers else float("-inf")


# %% [markdown]
# ## Before, and with the passage in sight
# A trial without examples asks the model as it is. With the passage in the prompt it need only read; a very small model
# hardly can. `gold_logprob` says how likely the gold answer is, in nats per token; it moves long before the model says
# the answer.

# %%
closed = {context.id: TrialSpec((), task.compile(context, None).queries) for context in train}
opened = {context.id: task.in_context(context) for context in train}
found = tried([Trial("", spec, SETTINGS, 0) for specs in (closed, opened) for spec in specs.values()])
before = dict(zip(closed, found[: len(closed)], strict=True))
in_sight = dict(zip(opened, found[len(closed) :], strict=True))
for context in train:
    for asked, without, with_it in zip(context.questions, before[context.id], in_sight[context.id], strict=True):
        print(f"{asked.question}  [{asked.answer}]\n   alone: {without.text}\n   with the passage: {with_it.text}")

# %% [markdown]
# ## Write self-edits
# Three for each passage, by the model itself; a seed of its own makes each of them repeatable. What is empty, enormous
# or repeats itself is invalid: it is not studied, and it is no failure to learn either.

# %%
sampling = SamplingParams(temperature=0.8, max_new_tokens=128)
owners = [(context, number) for context in train for number in range(3)]
wanted = [Generation(UNTOUCHED, task.prompt(c), sampling, seeds.derive("own passages", c.id, n)) for c, n in owners]
[written] = engine.generate([wanted])
candidates: list[tuple[Context, str, TrialSpec]]
candidates = [(context, "(the passage alone)", task.compile(context, None)) for context in train]
for (context, _), edit in zip(owners, written.results, strict=True):
    try:
        candidates.append((context, edit.text, task.compile(context, edit.text)))
    except InvalidEdit as reason:
        print(f"{context.id}: an invalid self-edit ({reason})")

# %% [markdown]
# ## Try them
# Each trial is a fresh adapter, all of them trained side by side and asked without the passage. All of one passage
# share a seed, so that they differ by what they say.

# %%
trials = [
    Trial(f"{i}", spec, SETTINGS, seeds.derive("own passages", "trial", context.id))
    for i, (context, _, spec) in enumerate(candidates)
]
answers = tried(trials)


# %% [markdown]
# ## Which helped
# The gain is against the untouched model on the same questions. Read each self-edit beside what it brought: does it say
# what was asked, is it true, does it name its subject? The two measures need not agree, least of all on four questions:
# a list of made-up numbers can make every answer a little likelier and none correct.


# %%
def beginning(text: str, length: int = 150) -> str:
    line = " / ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= length else line[:length] + " …"


table = Table("passage", "studied", "correct", "gold log-prob.", "gain", title="What was studied, and what it brought")
for context in train:
    rows = [("nothing", before[context.id]), ("nothing; the passage in sight", in_sight[context.id])]
    rows += [(text, answers[i]) for i, (owner, text, _) in enumerate(candidates) if owner == context]
    for text, given in rows:
        gain = logprob(given) - logprob(before[context.id])
        table.add_row(context.id, beginning(text), correct(given), f"{logprob(given):.2f}", f"{gain:+.2f}")
    table.add_section()
console.print(table)

# %% [markdown]
# Why: question by question, the best thing to study of all (by correct answers, then by gain), and the worst for the
# same passage.


# %%
def earned(i: int) -> tuple[int, float]:
    known = before[candidates[i][0].id]
    return sum(answer.verdict == "correct" for answer in answers[i]), logprob(answers[i]) - logprob(known)


sound = [i for i, given in enumerate(answers) if given]
best = max(sound, key=earned)
learnt = candidates[best][0]
worst = min((i for i in sound if candidates[i][0] == learnt), key=earned)
table = Table("question", "gold", "best says", "nats", "worst says", "nats", title=f"{learnt.title}, by question")
for high, low in zip(answers[best], answers[worst], strict=True):
    said = [(beginning(answer.text, 60), f"{answer.gold_logprob:.2f}") for answer in (high, low)]
    table.add_row(high.question, high.gold, *said[0], *said[1])
console.print(table)
print("best:", candidates[best][1], "\n\nworst:", candidates[worst][1])

# %% [markdown]
# ## Keep the best
# The adapter of a trial is gone when it has been asked. The same examples, settings and seed make it again; on disk it
# is a PEFT adapter, which `peft.PeftModel.from_pretrained` loads on the same model.

# %%
[updated] = engine.update(
    [[Update(UNTOUCHED, "adapters/policy-1", trials[best].spec.examples, SETTINGS, trials[best].seed)]]
)
[policy] = updated.results[0].policies
[kept_answers] = tried([Trial("kept", closed[learnt.id], SETTINGS, 0, policy)])
kept = logprob(kept_answers)
print(f"kept in {RUN / policy.adapter}: {kept:.2f} nats per token, {logprob(answers[best]):.2f} in its trial")

# %% [markdown]
# ## The same on held-out passages, by command
# `selfedit eval` does all of this by itself, resumes where it was stopped, and writes a report. What it found lies in
# its ledger.

# %%
words = f"eval --recipe embedded --model {MODEL} --methods base,in-context,passage,synthetic"
if main([*words.split(), "--data", str(DATA), "--sampling.max-new-tokens", "128", "--run", str(RUN / "eval")]):
    raise SystemExit("the evaluation did not finish")
with Ledger(RUN / "eval" / "ledger.db") as ledger:
    outcomes, edits = ledger.outcomes(), {edit.key: edit for edit in ledger.edits()}
table = Table("method", "passage", "correct", "gold log-prob.", "its self-edit", title="From the ledger")
for outcome in outcomes:
    said = beginning(edits[outcome.edit_key].text, 80) if outcome.edit_key else ""
    mean = f"{outcome.gold_logprob:.2f}" if outcome.gold_logprob is not None else outcome.failure
    table.add_row(outcome.method, outcome.context_id, correct(outcome.answers), mean, said)
console.print(table)
