"""How fast the bank trains and answers, beside the ways that it replaces, on the same studies in the same run.

    python benchmarks/bank.py [--data val200.jsonl] [--edits seal-round2.jsonl] [--rounds N] [--json]

The studies are the first passages of `--data` with the first self-edit of each in `--edits`, batch 1, one adapter of
rank 16 on all linear layers each, three epochs. A round times each of these once, in an order that turns from round to
round, so that other work on the machine meets all of them alike:

- bank: all studies in one bank of 8; again with adapters on the upper half only, above a trunk that is computed once a
  round;
- (a) PEFT with a plain loop, one adapter after the other, sequences unpadded;
- (b) PEFT with transformers' Trainer, likewise, on the first half of the studies;
- the decoder, and the same with base weights of 8 bits (`--write-dtype int8`), against transformers' `generate`,
  sampling 64 tokens at temperature 1, top-p 0.95, in batches of rows.

A ratio is taken within a round; the median over rounds is the figure, the smallest and largest its spread. Not in
turns: (c) the released rule, batch 1 padded to 2,048 tokens, a few steps, extrapolated.

`matmul_share` is 4 × parameters × tokens / seconds over the rate of large products on this machine in that round.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from telling import cpu_name, rounded, say, spread
from transformers import PrinterCallback, Trainer, TrainingArguments

from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.tokenization import example_tokens, prompt_ids
from selfedit.engine.train.adapters import TrainingJob
from selfedit.records import Query, SamplingParams, TrainingConfig
from selfedit.tasks import PassagesTask, load_passages

SHARED = Path(__file__).parents[2] / "shared" / "data"
DATA = SHARED / "squad" / "val200.jsonl"
EDITS = SHARED / "seal-released" / "edits" / "seal-round2.jsonl"
PADDED_LENGTH = 2048
NEW_TOKENS = 64
SETTINGS = ("model", "bank", "rank", "epochs", "passages", "padded_steps")
SEED = 1
Round = dict[str, float]
"""Seconds of each side, and the rate of large products beside them, GFLOP/s."""


def main() -> None:
    args = parse_arguments()
    engine = load_engine(args.model, dtype=args.dtype, bank=args.bank, write_dtype="int8")
    reference = load_model(args.model, engine.model.device, engine.model.dtype).model
    jobs, queries = studies_of(engine, args.passages, max(args.rows), args.rank, args.epochs, args.data, args.edits)
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in queries]
    tokens = sum(job_tokens(job) for job in jobs)
    say(f"{len(jobs)} studies, {tokens} tokens to train on, {engine.model.dtype}")
    token_share, peak_gb = warm_up(engine, reference, jobs)
    training = rounds_of(training_sides(engine, reference, jobs), args.rounds, engine.model.dtype)
    decoding = {
        rows: rounds_of(decoding_sides(engine, reference, prompts[:rows]), args.rounds, engine.model.dtype)
        for rows in args.rows
    }
    found = {
        **training_figures(training, reference, jobs),
        "speedup_vs_padded": padded_ratio(reference, jobs, training, args.padded_steps),
        "token_share": token_share,
        "peak_gb": peak_gb,
        **{f"decode_speedup_{rows}": ratio(timed, "generate", "decoder") for rows, timed in decoding.items()},
        **{f"decode_speedup_int8_{rows}": ratio(timed, "generate", "int8") for rows, timed in decoding.items()},
        "decoded_tokens_per_second": {
            str(rows): {side: rate_of(timed, side, rows * NEW_TOKENS) for side in SIDES}
            for rows, timed in decoding.items()
        },
        "studies": len(jobs),
        "tokens": tokens,
        "rounds": {"training": training, **{f"decoding {rows} rows": timed for rows, timed in decoding.items()}},
        "settings": {name: getattr(args, name) for name in SETTINGS},
        "facts": engine.facts,
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--edits", type=Path, default=EDITS)
    parser.add_argument("--passages", type=int, default=8)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--bank", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--padded-steps", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def studies_of(
    engine: TorchEngine,
    passages: int,
    questions: int,
    rank: int = 16,
    epochs: int = 1,
    data: Path = DATA,
    edits: Path = EDITS,
) -> tuple[list[TrainingJob], list[Query]]:
    """(one job per passage: the pieces of its first self-edit and the passage, batch 1; at least so many questions)."""
    written = {record["id"]: record["edits"][0] for record in map(json.loads, edits.open())}
    train, heldout = load_passages(str(data))
    contexts = (*train, *heldout)
    task = PassagesTask(contexts, (), "implications")
    training = TrainingConfig(rank=rank, alpha=2.0 * rank, epochs=epochs)
    examples = [task.compile(context, written[context.id]).examples for context in contexts[:passages]]
    jobs = [
        TrainingJob(tuple(example_tokens(engine.tokenizer, e) for e in one), training, SEED + i)
        for i, one in enumerate(examples)
    ]
    asked = islice((query for context in contexts for query in task.compile(context, None).queries), questions)
    return jobs, list(asked)


def rounds_of(sides: Mapping[str, Callable[[], float]], n: int, dtype: torch.dtype) -> list[Round]:
    """Each side once a round, the first one another each time."""
    rounds, names = [], list(sides)
    for number in range(n):
        first = number % len(names)
        rates = [matmul_rate(dtype)]
        timed = {name: sides[name]() for name in (*names[first:], *names[:first])}
        rates.append(matmul_rate(dtype))
        rounds.append({**{name: timed[name] for name in names}, "gflops": statistics.fmean(rates)})
        say(f"round {number + 1}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in timed.items()))
    return rounds


def ratio(rounds: Sequence[Round], theirs: str, ours: str) -> dict[str, float]:
    """Their seconds over ours."""
    return spread([one[theirs] / one[ours] for one in rounds])


def rate_of(rounds: Sequence[Round], side: str, tokens: int) -> dict[str, float]:
    """Tokens per second."""
    return spread([tokens / one[side] for one in rounds])


def warm_up(engine: TorchEngine, reference: Any, jobs: Sequence[TrainingJob]) -> tuple[float, float]:
    """(real tokens / processed tokens, GB at most) of the bank, with everything run once."""
    counter = TokenCounter(engine.model)
    train_bank(engine, jobs)
    token_share = sum(job_tokens(job) for job in jobs) / counter.take()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    train_peft(reference, replace(jobs[0], examples=jobs[0].examples[:2]))
    decode_ours(engine.speaker.drawer, [jobs[0].examples[0].ids], 2)
    return token_share, peak_gb


def training_sides(engine: TorchEngine, reference: Any, jobs: Sequence[TrainingJob]) -> dict[str, Callable[[], float]]:
    """Seconds for all studies; Trainer's for the first half of them, scaled by their tokens."""
    upper = [replace(job, training=replace(job.training, top_layers=0.5)) for job in jobs]
    half = jobs[: max(1, len(jobs) // 2)]
    share = sum(map(job_tokens, half)) / sum(map(job_tokens, jobs))
    return {
        "bank": lambda: train_bank(engine, jobs),
        "trunk": lambda: train_bank(engine, upper),
        "peft": lambda: sum(train_peft(reference, job) for job in jobs),
        "trainer": lambda: sum(train_with_trainer(reference, job) for job in half) / share,
    }


def training_figures(rounds: Sequence[Round], reference: Any, jobs: Sequence[TrainingJob]) -> dict[str, Any]:
    tokens, n_parameters = sum(map(job_tokens, jobs)), sum(p.numel() for p in reference.parameters())
    return {
        "speedup_vs_peft": ratio(rounds, "peft", "bank"),
        "speedup_trunk_vs_peft": ratio(rounds, "peft", "trunk"),
        "speedup_vs_trainer": ratio(rounds, "trainer", "bank"),
        "matmul_share": spread([4 * n_parameters * tokens / one["bank"] / one["gflops"] / 1e9 for one in rounds]),
        "tokens_per_second": {name: rate_of(rounds, name, tokens) for name in ("bank", "trunk", "peft", "trainer")},
    }


def padded_ratio(reference: Any, jobs: Sequence[TrainingJob], rounds: Sequence[Round], n_steps: int) -> float:
    steps = sum(len(job.examples) * job.training.epochs for job in jobs)
    seconds = padded_step_seconds(reference, jobs[0], n_steps) * steps
    return seconds / statistics.median(one["bank"] for one in rounds)


def train_bank(engine: TorchEngine, jobs: Sequence[TrainingJob]) -> float:
    engine.trunk.clear()  # as before every group
    started = time.perf_counter()
    results = engine._train(jobs)
    seconds = time.perf_counter() - started
    assert all(result.row is not None for result in results), "a study failed"
    return seconds


def train_peft(reference: Any, job: TrainingJob) -> float:
    """One adapter with PEFT's own layers, a plain loop and torch's AdamW; a sequence a step, unpadded."""
    started = time.perf_counter()
    model = get_peft_model(copy.copy(reference), lora_config(job))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job.training.learning_rate, weight_decay=0.0)
    n_steps = len(job.examples) * job.training.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / n_steps)
    for _ in range(job.training.epochs):
        for tokens in job.examples:
            ids = torch.tensor([tokens.ids])
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, job.training.max_grad_norm)
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - started
    model.unload()
    return seconds


def train_with_trainer(reference: Any, job: TrainingJob) -> float:
    """The same by transformers' Trainer."""
    started = time.perf_counter()
    model = get_peft_model(copy.copy(reference), lora_config(job))
    data = [{"input_ids": list(t.ids), "labels": list(t.ids), "attention_mask": [1] * len(t.ids)} for t in job.examples]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=job.training.epochs,
            per_device_train_batch_size=1,
            learning_rate=job.training.learning_rate,
            max_grad_norm=job.training.max_grad_norm,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=reference.device.type == "cpu",
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=data)
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, where the JSON goes
        trainer.train()
    seconds = time.perf_counter() - started
    model.unload()
    return seconds


def padded_step_seconds(reference: Any, job: TrainingJob, n_steps: int) -> float:
    """Seconds of one optimiser step of batch 1 padded to 2,048 tokens, the median of a few."""
    model = get_peft_model(copy.copy(reference), lora_config(job))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job.training.learning_rate)
    seconds = []
    for tokens in job.examples[: n_steps + 1]:
        started = time.perf_counter()
        padding = PADDED_LENGTH - len(tokens.ids)
        ids = torch.tensor([[*tokens.ids, *[0] * padding]])
        mask = torch.tensor([[1] * len(tokens.ids) + [0] * padding])
        loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100), use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    model.unload()
    return statistics.median(seconds[1:])


def lora_config(job: TrainingJob) -> LoraConfig:
    return LoraConfig(
        r=job.training.rank, lora_alpha=job.training.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )


SIDES = ("decoder", "int8", "generate")


def decoding_sides(
    engine: TorchEngine, reference: Any, prompts: Sequence[tuple[int, ...]]
) -> dict[str, Callable[[], float]]:
    """Seconds for a text after each prompt."""
    return {
        "decoder": lambda: decode_ours(engine.speaker.decoder, prompts),
        "int8": lambda: decode_ours(engine.speaker.drawer, prompts),
        "generate": lambda: decode_generate(reference, engine.tokenizer, prompts),
    }


def decode_ours(ours: Decoder, prompts: Sequence[tuple[int, ...]], n_tokens: int = NEW_TOKENS) -> float:
    """Seconds; no row may end early."""
    sampling = SamplingParams(temperature=1.0, top_p=0.95, max_new_tokens=n_tokens)
    requests = [Request(prompt, -1, sampling, seed) for seed, prompt in enumerate(prompts)]
    decoder = copy.copy(ours)
    decoder.stop_ids = frozenset()
    started = time.perf_counter()
    texts = decoder.generate(requests)
    seconds = time.perf_counter() - started
    assert all(len(ids) == n_tokens for ids, _ in texts)
    return seconds


def decode_generate(reference: Any, tokenizer: Any, prompts: Sequence[tuple[int, ...]]) -> float:
    """The same by transformers' `generate`, prompts padded on the left."""
    tokenizer.padding_side = "left"
    batch = tokenizer.pad({"input_ids": [list(prompt) for prompt in prompts]}, return_tensors="pt")
    torch.manual_seed(SEED)
    started = time.perf_counter()
    out = reference.generate(
        **batch,
        do_sample=True,
        temperature=1.0,
        top_p=0.95,
        top_k=0,
        min_new_tokens=NEW_TOKENS,
        max_new_tokens=NEW_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
    )
    seconds = time.perf_counter() - started
    assert out.shape[1] == batch["input_ids"].shape[1] + NEW_TOKENS
    return seconds


class TokenCounter:
    """Counts the tokens that pass the model's decoder layers."""

    def __init__(self, model: Any) -> None:
        self.tokens = 0
        self.handle = model.base_model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.tokens += kwargs["input_ids"].numel()

    def take(self) -> int:
        self.handle.remove()
        return self.tokens


def matmul_rate(dtype: torch.dtype) -> float:
    """GFLOP/s of products of 1,024 × 1,024 matrices, the best of some."""
    left, right = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    seconds = min(timed(lambda: left @ right) for _ in range(20))
    return 2 * 1024**3 / seconds / 1e9


def timed(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def job_tokens(job: TrainingJob) -> int:
    """Tokens that a study trains on."""
    return sum(len(tokens.ids) for tokens in job.examples) * job.training.epochs


ROWS = (
    ("studies/s, bank against (a) PEFT with a plain loop", "speedup_vs_peft", "×"),
    ("studies/s, bank with trunk (upper half) against (a)", "speedup_trunk_vs_peft", "×"),
    ("studies/s, bank against (b) PEFT with Trainer", "speedup_vs_trainer", "×"),
    ("studies/s, bank against (c) padded to 2,048, extrapolated", "speedup_vs_padded", "×"),
    ("share of the machine's matmul rate while training", "matmul_share", ""),
    ("real tokens / processed tokens", "token_share", ""),
    ("peak memory, GB", "peak_gb", ""),
)


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['cpu']}, {found['threads']} threads, {found['facts']['dtype']}, {found['studies']} studies,"
        f" {found['tokens']} tokens trained, {len(found['rounds']['training'])} rounds",
        "",
        "| figure | measured |",
        "|---|---|",
        *(f"| {label} | {cell(found[key], unit)} |" for label, key, unit in ROWS),
        "",
        "| rows | " + " | ".join(f"{side}, tokens/s" for side in SIDES) + " | decoder | int8 |",
        "|---" * (3 + len(SIDES)) + "|",
    ]
    for rows, speeds in found["decoded_tokens_per_second"].items():
        cells = [f"{speeds[side]['median']:.0f}" for side in SIDES]
        cells += [cell(found[f"decode_speedup_{side}{rows}"], "×") for side in ("", "int8_")]
        lines.append(f"| {rows} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(value: float | dict[str, float], unit: str) -> str:
    if isinstance(value, float):
        return f"{value:.2f}{unit}"
    return f"{value['median']:.2f}{unit} ({value['least']:.2f} to {value['most']:.2f})"


if __name__ == "__main__":
    main()
