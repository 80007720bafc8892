"""How much faster puzzles × directives go through one bank than one by one, in the same run.

    python benchmarks/puzzles.py [--puzzles IDS] [--dtype bfloat16] [--json]

Each puzzle is tried with four directives that differ in rank, learning rate, loss, epochs and number of views. Timed:

- bank: all trials in one call: trained, asked in 16 views, gold answers scored, candidates judged;
- alone: a call for each trial, of the same engine;
- PEFT: trial by trial, PEFT's layers in a plain loop over padded batches, then `generate` for all views in one batch;
  it scores and judges nothing.

Bank and PEFT adapt the same layers. Absolute times depend on the machine; compare figures of one run.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from telling import rounded, say

from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.tokenization import prompt_ids
from selfedit.engine.train.adapters import TrainingJob, batch_order, job_of
from selfedit.recipes import RECIPES
from selfedit.records import TrainingConfig, Trial
from selfedit.tasks.arc.task import ORACLES, ArcSettings, ArcTask, load_arc

IGNORED = -100
DIRECTIVES: dict[str, dict[str, object]] = {
    "careful": {"views": 64},
    "bold": {"views": 32, "rank": 16, "learning_rate": 0.005, "strategy": "train_using_all_tokens"},
    "small": {"views": 64, "rank": 8, "learning_rate": 0.001},
    "twice": {"views": 32, "rank": 16, "num_train_epochs": 2},
}
"""What each trial chooses otherwise than the settings that are known to work."""


def main() -> None:
    args = parse_arguments()
    engine = load_engine(args.model, dtype=args.dtype, bank=args.bank)
    task = load_arc(ArcSettings(heldout_data=args.puzzles), RECIPES["arc"].inner)
    trials = trials_of(task)
    reference = load_model(args.model, engine.model.device, engine.model.dtype).model
    timed(lambda: list(engine.run_trials([trials[:1]])))  # memory is warm afterwards
    engine._give_back()
    bank = timed(lambda: list(engine.run_trials([trials])))
    say(f"bank: {bank:.1f} s")
    alone = sum(map(forgetful(engine), trials))
    say(f"alone: {alone:.1f} s")
    peft = sum(timed(lambda trial=trial: by_peft(engine, reference, trial)) for trial in trials)  # type: ignore[misc]
    say(f"PEFT, one by one: {peft:.1f} s")
    found = {
        "trials": len(trials),
        "seconds": {"bank": bank, "alone": alone, "peft": peft},
        "speedup_vs_peft": peft / bank,
        "speedup_vs_alone": alone / bank,
        "puzzles": args.puzzles,
        "facts": engine.facts,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def trials_of(task: ArcTask) -> list[Trial]:
    """Four trials a puzzle."""
    trials = []
    for context in task.contexts("heldout"):
        for name, choices in DIRECTIVES.items():
            directives = json.loads(ORACLES["extended"])
            directives["training"] |= choices
            spec = task.compile(context, json.dumps(directives))
            trials.append(Trial(f"{context.id} {name}", spec, spec.training or TrainingConfig(), 7))
    return trials


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def forgetful(engine: TorchEngine) -> Callable[[Trial], float]:
    """Seconds of one trial by itself, with nothing kept from the one before."""

    def seconds(trial: Trial) -> float:
        engine._give_back()
        return timed(lambda: list(engine.run_trials([[trial]])))

    return seconds


def by_peft(engine: TorchEngine, reference: Any, trial: Trial) -> None:
    job = job_of(engine.tokenizer, trial, engine.max_context)
    assert isinstance(job, TrainingJob), job
    model = get_peft_model(copy.copy(reference), lora_config(engine, trial.training))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job.training.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / job.n_steps)
    for _, chosen in batch_order(job):
        batch = padded([job.examples[i].ids for i in chosen], is_left=False)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, i in enumerate(chosen):
            places = list(job.examples[i].loss_places)
            labels[row, places] = batch["input_ids"][row, places]
        loss = model(**batch, labels=labels, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, job.training.max_grad_norm)
        optimizer.step()
        schedule.step()
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in trial.spec.queries]
    with torch.no_grad():
        model.generate(  # type: ignore[no-untyped-call]
            **padded(prompts, is_left=True),
            max_new_tokens=trial.spec.queries[0].max_new_tokens,
            do_sample=False,
            pad_token_id=engine.tokenizer.eos_token_id,
        )
    model.unload()


def padded(rows: Sequence[Sequence[int]], is_left: bool) -> dict[str, torch.Tensor]:
    """[rows, longest] ids and mask."""
    longest = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
    for place, row in enumerate(rows):
        where = slice(longest - len(row), longest) if is_left else slice(0, len(row))
        ids[place, where], mask[place, where] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}


def lora_config(engine: TorchEngine, training: TrainingConfig) -> LoraConfig:
    """The same layers as the bank's."""
    below, _ = engine.adapted(training)
    return LoraConfig(
        r=training.rank,
        lora_alpha=int(training.alpha),
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        layers_to_transform=list(range(below, engine.layer_count)),
        task_type="CAUSAL_LM",
    )


def table(found: dict[str, Any]) -> str:
    seconds = found["seconds"]
    return "\n".join(
        [
            f"{found['trials']} trials: bank {seconds['bank']:.1f} s, alone {seconds['alone']:.1f} s,"
            f" PEFT {seconds['peft']:.1f} s",
            f"bank against PEFT one by one: {found['speedup_vs_peft']:.2f}×",
            f"bank against the same engine, trial by trial: {found['speedup_vs_alone']:.2f}×",
        ]
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puzzles", default="6150a2bd,5582e5ca,d037b0a7,25ff71a9")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--bank", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
