"""What a rest of house rules learns, and what it costs elsewhere, by how it studies; on a world that is not reported.

    python benchmarks/house_rules_settings.py FORM --runs runs/rests [--world 601] [--rules 48] [--rate 1.5e-3]
        [--epochs 3] [--top-layers 1] [--rank 16] [--batch 8] [--renderings 10] [--of-conditions 20] [--rehearsed 128]
        [--arms none] [--dtype bfloat16] [--out FILE.jsonl]

FORM is the folder of an adapter that all arms share (`RUN/house-rules/adapters/form` of `selfedit reproduce
house-rules`). One rest is made upon it from all that a world teaches, and asked the world's exam. `--epochs 0` asks the
shared adapter itself. Worlds from 500 on are for choosing; the experiment has 0 to 2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from selfedit.engine import load_engine
from selfedit.learn.house_rules.memory import Sight, interactions, notes_after
from selfedit.learn.house_rules.settings import Arm
from selfedit.learn.house_rules.study import pieces_of, varied
from selfedit.learn.rehearsal import by_turns, rehearsals
from selfedit.protocols import Engine
from selfedit.records import (
    SHARED_EDITS,
    Answer,
    Policy,
    Query,
    SelfEdit,
    TrainingConfig,
    Trial,
    TrialSpec,
    Update,
    digest,
)
from selfedit.store.adapters import AdapterFolders, adapter_in
from selfedit.tasks import load_probe
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.episodes.edits import oracle_edit
from selfedit.tasks.episodes.prompts import everyday_requests, put_query, put_request
from selfedit.tasks.episodes.task import EpisodesTask
from selfedit.tasks.episodes.world import KINDS, make_world
from selfedit.tasks.probe import BUNDLED

UNTAUGHT = 3
IN_SIGHT = 0.4


def asked(engine: Engine, policy: Policy, queries: Sequence[Query]) -> Sequence[Answer]:
    """What a version answers."""
    [done] = list(engine.run_trials([[Trial("asked", TrialSpec((), tuple(queries)), TrainingConfig(), 0, policy)]]))
    return done.results[0].answers


def main() -> None:
    """Prints one row, and adds it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--world", type=int, default=601)
    parser.add_argument("--rules", type=int, default=48)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--top-layers", type=float, default=1.0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--renderings", type=int, default=10)
    parser.add_argument("--of-conditions", type=int, default=20)
    parser.add_argument("--rehearsed", type=int, default=128)
    parser.add_argument("--arms", default="none")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    form, probe = adapter_in(given.form), load_probe(BUNDLED)
    engine = load_engine(given.model, "auto", given.dtype, 8, AdapterFolders(given.runs))
    world = make_world(given.world, given.rules, UNTAUGHT, max(given.renderings, given.of_conditions))
    notes = notes_after(world, interactions(world))
    edits = {}
    for note in notes:
        text = oracle_edit(note.rule, given.of_conditions if note.rule.kind == "condition" else given.renderings)
        key = digest("oracle", note.context.id, text)
        edits[note.context.id] = SelfEdit(key, note.context.id, SHARED_EDITS, 0, 0, text, 0, writer="oracle")
    pieces = pieces_of(EpisodesTask((), ()), notes, edits)
    examples = varied(pieces, [note.line for note in notes], given.epochs, IN_SIGHT, 1)
    openings = [*(put_request(one, (), "chat") for one in everyday_requests()), *probe.openings]
    rehearsed = rehearsals(engine, openings, given.rehearsed * given.epochs, is_anchored=True)
    examples += by_turns(rehearsed, given.rehearsed, given.epochs)
    training = TrainingConfig(
        rank=given.rank,
        alpha=2.0 * given.rank,
        top_layers=given.top_layers,
        learning_rate=given.rate,
        epochs=given.epochs,
        batch_size=given.batch,
    )
    row = {**vars(given), "runs": "", "out": ""}
    policy, started = form, time.process_time()
    if given.epochs:
        folder = f"adapters/rest-{given.world}-{digest(examples, training)[:12]}"
        [done] = list(engine.update([[Update(form, folder, tuple(examples), training, 1)]]))
        result = done.results[0]
        policy = result.policies[0]
        row |= {"tokens": result.tokens, "steps": result.steps, "losses": result.losses}
        row["cpu_seconds"] = time.process_time() - started
    for name in given.arms.split(","):
        sight, arm = Sight(notes, token_counter(given.model), {}), Arm.parse(name)
        met = [(rule.kind, one) for rule in world.final() for one in rule.exam]
        queries = [
            put_query(f"{n}", one.request, one.action, sight.of(arm, one.request)) for n, (_, one) in enumerate(met)
        ]
        answers = asked(engine, policy, queries)
        right = [
            " ".join(a.text.split()).lower() == one.action.lower() for a, (_, one) in zip(answers, met, strict=True)
        ]
        by_kind = {kind: fmean(r for r, (own, _) in zip(right, met, strict=True) if own == kind) for kind in KINDS}
        row[name] = {"all": fmean(right), **by_kind, "logprob": fmean(a.gold_logprob for a in answers), "n": len(met)}
    texts, known = asked(engine, policy, probe.texts), asked(engine, policy, probe.questions)
    row["general_nats"] = fmean(one.gold_logprob for one in texts)
    row["known"] = sum(q.gold.lower() in a.text.lower() for q, a in zip(probe.questions, known, strict=True))
    print(json.dumps(row))
    if given.out:
        with given.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
