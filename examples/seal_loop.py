"""The whole of SEAL on one screen: a model writes its own training data, learns from it, and learns to write it better.

    python examples/seal_loop.py        # the embedded model; some minutes on two cores

Two rounds of ReST-EM over self-edits (SEAL §3.1). In each, the model writes self-edits about a few passages. Each is
tried: a fresh adapter is trained on it and asked about its passage, which it doesn't see. The best one of each passage,
where it beats the model as it is, trains the next version to write like that. Held-out passages are tested before and
after. Any engine and any task will do; `selfedit.testing` has some without a model. What `selfedit train` does beyond:

1. Everything goes into a ledger, so that a run that was stopped goes on where it was. Here it begins anew.
2. A grader or a judge says which answers are right, and the reward may be accuracy. Here it is log-probability alone.
3. A self-edit is tried under several seeds, all of them or the finalists of the first. Here one seed decides.
4. The report has baselines (the passage alone, the passage in sight) and intervals. Here one mean is printed.
5. Settings come from a recipe and are checked before a model is loaded, and the one that learns may be another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from selfedit import UNTOUCHED, InvalidEdit, Update, seeds
from selfedit.protocols import Engine, Task
from selfedit.records import Context, Example, Generation, Policy, SamplingParams, TrainingConfig, Trial, TrialSpec

SAMPLING = SamplingParams(temperature=0.8, max_new_tokens=96)
INNER = TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=4e-3, epochs=3)  # the adapter of one trial
OUTER = TrainingConfig(rank=32, alpha=64.0, learning_rate=1e-4, epochs=2, batch_size=2)  # the update of the model


@dataclass(frozen=True, slots=True)
class Tried:
    """A self-edit, and what a fresh adapter knew after studying it."""

    context: Context
    text: str
    level: float  # mean log-probability of the gold answers, nats per token
    reward: float  # the same over that of the model as it is


def main(engine: Engine, task: Task, rounds: int = 2, n_contexts: int = 3, n_edits: int = 3) -> list[list[Tried]]:
    """Runs the loop; returns the self-edits that each round has kept."""
    policy, kept_R = UNTOUCHED, []
    print(f"held out, before: {test(engine, task, policy, n_contexts):.3f} nats per token")
    for number in range(rounds):
        contexts = task.contexts("train")[number * n_contexts : (number + 1) * n_contexts]
        written = write(engine, task, policy, contexts, n_edits)
        kept = select(try_out(engine, task, policy, written))
        policy = update(engine, task, policy, kept) if kept else policy
        kept_R.append(kept)
        best = ", ".join(f"{one.context.title} {one.reward:+.2f}" for one in kept)
        print(f"round {number + 1}: of {len(written)} self-edits {len(kept)} kept ({best}); version {policy.version}")
    print(f"held out, after: {test(engine, task, policy, n_contexts):.3f} nats per token")
    return kept_R


def write(engine: Engine, task: Task, policy: Policy, contexts: Sequence[Context], n: int) -> list[tuple[Context, str]]:
    """Write: `n` self-edits about each context, by the policy itself. A seed of its own makes each draw repeatable."""
    asked = [(context, draw) for context in contexts for draw in range(n)]
    items = [Generation(policy, task.prompt(c), SAMPLING, seeds.derive("write", c.id, draw)) for c, draw in asked]
    [done] = engine.generate([items])
    return [(context, text.text) for (context, _), text in zip(asked, done.results, strict=True)]


def try_out(engine: Engine, task: Task, policy: Policy, written: Sequence[tuple[Context, str]]) -> list[Tried]:
    """Try: an adapter for each self-edit, many trained side by side; and for each context one trial without examples,
    which asks the model as it is. What cannot be studied, or fails, has no reward: that is not the same as 0."""
    specs: list[tuple[Context, str, TrialSpec]] = []
    for context in {context.id: context for context, _ in written}.values():
        specs.append((context, "", replace(task.compile(context, None), examples=())))
    for context, text in written:
        try:
            specs.append((context, text, task.compile(context, text)))
        except InvalidEdit:
            continue
    # No replies, which would take most of the time: the reward is log-probability alone.
    specs = [(c, t, replace(s, queries=tuple(replace(q, max_new_tokens=0) for q in s.queries))) for c, t, s in specs]
    seed_of = {c.id: seeds.derive("try", c.id) for c, _, _ in specs}
    trials = [Trial(f"{i}", s, s.training or INNER, seed_of[c.id], policy) for i, (c, _, s) in enumerate(specs)]
    groups = [trials[at : at + engine.bank_size] for at in range(0, len(trials), engine.bank_size)]
    finished = sorted(engine.run_trials(groups), key=lambda done: done.group)  # they end in any order
    results = [result for done in finished for result in done.results]
    level_of = {result.key: fmean(a.gold_logprob for a in result.answers) for result in results if not result.failure}
    known = [(*spec, level_of[trial.key]) for spec, trial in zip(specs, trials, strict=True) if trial.key in level_of]
    base = {context.id: level for context, _, spec, level in known if not spec.examples}
    return [Tried(c, text, level, level - base[c.id]) for c, text, spec, level in known if text and c.id in base]


def select(tried: Sequence[Tried]) -> list[Tried]:
    """Select: the best of each context, if it earned anything."""
    return list({one.context.id: one for one in sorted(tried, key=lambda one: one.reward) if one.reward > 0}.values())


def update(engine: Engine, task: Task, policy: Policy, kept: Sequence[Tried]) -> Policy:
    """Update: the next version is trained to write what was kept when it is asked as this one was."""
    examples = tuple(Example(one.text, task.prompt(one.context)) for one in kept)
    folder = f"adapters/policy-{policy.version + 1}"
    [done] = engine.update([[Update(policy, folder, examples, OUTER, seeds.derive("update", folder))]])
    [result] = done.results
    if result.failure:
        raise SystemExit(f"the update failed: {result.failure}")
    return result.policies[0]


def test(engine: Engine, task: Task, policy: Policy, n_contexts: int) -> float:
    """Test: what the policy knows of held-out contexts after studying one self-edit of its own about each."""
    written = write(engine, task, policy, task.contexts("heldout")[:n_contexts], 1)
    levels = [one.level for one in try_out(engine, task, policy, written)]
    return fmean(levels) if levels else float("nan")  # no self-edit could be studied


if __name__ == "__main__":
    from pathlib import Path

    from selfedit import AdapterFolders, PassagesTask, load_engine, load_passages

    model = load_engine("smollm2-135m", adapters=AdapterFolders(Path("runs/seal-loop")))
    main(model, PassagesTask(*load_passages("invented"), "implications"))
