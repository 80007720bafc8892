"""L2. Who writes questions is a policy too: it learns from questions of people, or from those of its own that told
self-edits apart.

The reward of a question is how well it tells the self-edits of its context apart in the way that the other questions
of that context do: the correlation, over self-edits, of its gold answer's log-probability with the mean of theirs
(psychometrics' item-rest correlation). A question that asks nonsense, or for what every self-edit says, tells nothing.
The better half of a context's questions, above zero, is trained on (ReST-EM, as the writer of self-edits is).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.protocols import Engine
from selfedit.records import Context, Outcome, Policy, TrainingConfig, Update
from selfedit.store import read_ledger
from selfedit.tasks.documents.cloze import BLANK
from selfedit.tasks.documents.written import lessons
from selfedit.tasks.passages.files import read_passages

TRAINING = TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=1e-3, epochs=3, batch_size=8)
"""How a questioner is trained."""
_LEAST_EDITS, _LEAST_QUESTIONS = 3, 2
"""Of a context, below which nothing is told apart."""


def lessons_from(path: Path) -> list[Context]:
    """What a questioner learns from: passages with questions, of a file; or of a run those contexts and questions that
    told its self-edits apart.

    Raises:
        SettingError: there are none.
    """
    if path.is_dir():
        with read_ledger(path / "ledger.db") as ledger:
            contexts = telling(ledger.contexts("train"), ledger.outcomes())
        wanted = "a run with three self-edits a context or more, whose questions are written ones"
    else:
        contexts = [context for _, context in read_passages(path)]
        wanted = "passages with questions whose answers stand in one of their sentences"
    if not lessons(contexts):
        raise SettingError(Field("train_questioner"), f" {path}: has nothing to learn from; give {wanted}")
    return contexts


def telling(contexts: Sequence[Context], outcomes: Sequence[Outcome]) -> list[Context]:
    """The contexts with those of their written questions that told self-edits apart."""
    found = []
    for context in contexts:
        worth = item_rest([one for one in outcomes if one.context_id == context.id and one.edit_key])
        written = [one for one in context.questions if BLANK not in one.question and worth.get(one.id, 0) > 0]
        written.sort(key=lambda one: -worth[one.id])
        if kept := written[: -(-len(context.questions) // 2)]:
            found.append(replace(context, questions=tuple(kept)))
    return found


def item_rest(outcomes: Sequence[Outcome]) -> Mapping[str, float]:
    """By question: the correlation of its gold answer's log-probability, over the self-edits of a context, with the
    mean of the context's other questions; −1 to 1. One that is the same for all self-edits has none."""
    levels: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        for answer in outcome.answers:
            levels[answer.question_id][outcome.edit_key].append(answer.gold_logprob)
    edits = sorted({key for of_edit in levels.values() for key in of_edit})
    asked = [one for one, of_edit in levels.items() if len(of_edit) == len(edits)]
    if len(edits) < _LEAST_EDITS or len(asked) < _LEAST_QUESTIONS:
        return {}
    table_QE = np.array([[fmean(levels[one][key]) for key in edits] for one in asked])
    found = {}
    for row, name in enumerate(asked):
        rest_E = np.delete(table_QE, row, axis=0).mean(axis=0)
        if np.ptp(table_QE[row]) > 0 and np.ptp(rest_E) > 0:
            found[name] = float(np.corrcoef(table_QE[row], rest_E)[0, 1])
    return found


def taught(contexts: Sequence[Context], engine: Engine, base: Policy, folder: str, seed: int) -> Policy:
    """The questioner after these questions; its adapter in `folder` of the engine's store.

    Raises:
        SelfeditError: the training failed.
    """
    update = Update(base, folder, lessons(contexts), TRAINING, seed)
    [result] = next(iter(engine.update([[update]]))).results
    if result.failure:
        raise SelfeditError(f"training the questioner failed: {result.failure}")
    return result.policies[0]
