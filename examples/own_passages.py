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

from selfedit import seeds
from selfedit.cli import main
from selfedit.engine import load_engine
from selfedit.grading import grade_answers, load_grader
from selfedit.records import Attempt, Context, GradedAnswer, InvalidEdit, LoraSettings, Policy, Sampling, Study, Trial
from selfedit.store import Ledger
from selfedit.tasks import PassagesTask, load_passages

DATA = Path(__file__).with_name("passages.jsonl") if "__file__" in globals() else Path("examples/passages.jsonl")
MODEL = os.environ.get("SELFEDIT_MODEL", "smollm2-135m")
RUN = Path(os.environ.get("SELFEDIT_RUN", "runs/own-passages"))
UNTOUCHED = Policy()
SETTINGS = LoraSettings(rank=16, alpha=32.0, adapt_layers=0.5, learning_rate=2e-3, epochs=6)
console = Console(width=110)

# %% [markdown]
# ## Load
# The last 40 % of a file are held out; here two passages to look at closely, two for the comparison at the end.
# `validate` checks, without a model, that the gold answers would earn full marks.

# %%
train, heldout = load_passages(str(DATA))
task = PassagesTask(train, heldout, "implications")
task.validate()
engine = load_engine(MODEL)
grader = load_grader("contains")


def graded(study: Study, attempt: Attempt) -> tuple[GradedAnswer, ...]:
    return grade_answers(grader, study.asks, attempt.answers) if not attempt.failure else ()


def right(answers: Sequence[GradedAnswer]) -> str:
    return f"{sum(answer.verdict == 'right' for answer in answers)} of {len(answers)}" if answers else "failed"


def logprob(answers: Sequence[GradedAnswer]) -> float:
    return sum(answer.gold_logprob for answer in answers) / len(answers) if answers else float("-inf")


# %% [markdown]
# ## Before, and with the passage in sight
# A study without examples asks the model as it is. With the passage in the prompt it need only read; a very small model
# hardly can. `gold_logprob` says how likely the right answer is, in nats per token; it moves long before the model says
# the answer.

# %%
closed = {context.id: Study((), task.study(context, None).asks) for context in train}
opened = {context.id: Study((), task.in_context_asks(context)) for context in train}
trials = [Trial("", study, SETTINGS, 0) for context in train for study in (closed[context.id], opened[context.id])]
found = [graded(t.study, a) for t, a in zip(trials, engine.run_trials(UNTOUCHED, RUN, trials), strict=True)]
before = {context.id: found[2 * i] for i, context in enumerate(train)}
in_sight = {context.id: found[2 * i + 1] for i, context in enumerate(train)}
for context in train:
    for asked, without, with_it in zip(context.questions, before[context.id], in_sight[context.id], strict=True):
        print(f"{asked.question}  [{asked.answer}]\n   alone: {without.text}\n   with the passage: {with_it.text}")

# %% [markdown]
# ## Write self-edits
# Three for each passage, by the model itself. What is empty, enormous or repeats itself is invalid: it is not studied,
# and it is no failure to learn either.

# %%
written = engine.write(
    UNTOUCHED,
    RUN,
    [task.prompt(context) for context in train],
    3,
    Sampling(temperature=0.8, max_new_tokens=128),
    [seeds.derive("own passages", context.id) for context in train],
)
candidates: list[tuple[Context, str, Study]]
candidates = [(context, "(the passage alone)", task.study(context, None)) for context in train]
for context, drawn in zip(train, written, strict=True):
    for edit in drawn:
        try:
            candidates.append((context, edit.text, task.study(context, edit.text)))
        except InvalidEdit as reason:
            print(f"{context.id}: an invalid self-edit ({reason})")

# %% [markdown]
# ## Try them
# Each trial is a fresh adapter, all of them trained side by side and asked without the passage. All of one passage
# share a seed, so that they differ by what they say.

# %%
trials = [
    Trial(f"{i}", study, SETTINGS, seeds.derive("own passages", "trial", context.id))
    for i, (context, _, study) in enumerate(candidates)
]
attempts = engine.run_trials(UNTOUCHED, RUN, trials)
answers = [graded(trial.study, attempt) for trial, attempt in zip(trials, attempts, strict=True)]


# %% [markdown]
# ## Which helped
# The gain is against the untouched model on the same questions. Read each self-edit beside what it brought: does it say
# what was asked, is it true, does it name its subject? The two measures need not agree, least of all on four questions:
# a list of made-up numbers can make every answer a little likelier and none right.


# %%
def beginning(text: str, length: int = 150) -> str:
    line = " / ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= length else line[:length] + " …"


table = Table("passage", "studied", "right", "gold log-prob.", "gain", title="What was studied, and what it brought")
for context in train:
    rows = [("nothing", before[context.id]), ("nothing; the passage in sight", in_sight[context.id])]
    rows += [(text, answers[i]) for i, (owner, text, _) in enumerate(candidates) if owner == context]
    for text, given in rows:
        gain = logprob(given) - logprob(before[context.id])
        table.add_row(context.id, beginning(text), right(given), f"{logprob(given):.2f}", f"{gain:+.2f}")
    table.add_section()
console.print(table)

# %% [markdown]
# Why: question by question, the best thing to study of all (by right answers, then by gain), and the worst for the same
# passage.


# %%
def earned(i: int) -> tuple[int, float]:
    known = before[candidates[i][0].id]
    return sum(answer.verdict == "right" for answer in answers[i]), logprob(answers[i]) - logprob(known)


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
policy = engine.update(UNTOUCHED, RUN, trials[best].study.examples, SETTINGS, trials[best].seed)
again = engine.run_trials(policy, RUN, [Trial("kept", closed[learnt.id], SETTINGS, 0)])[0]
kept = logprob(graded(closed[learnt.id], again))
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
table = Table("method", "passage", "right", "gold log-prob.", "its self-edit", title="From the ledger")
for outcome in outcomes:
    said = beginning(edits[outcome.edit_key].text, 80) if outcome.edit_key else ""
    mean = f"{outcome.gold_logprob:.2f}" if outcome.gold_logprob is not None else outcome.failure
    table.add_row(outcome.method, outcome.context_id, right(outcome.answers), mean, said)
console.print(table)
