"""How fast the bank trains and answers, beside the ways that it replaces, on the same studies in the same run.

    python benchmarks/bank.py --data val200.jsonl --edits seal-round2.jsonl [--json]

The studies are the first passages of `--data` with the first self-edit of each in `--edits`, batch 1, one adapter of
rank 16 on all linear layers each. Timed:

- bank: all studies in one bank of 8; again with adapters on the upper half only, above a trunk that is computed once;
- (a) PEFT with a plain loop, one adapter after the other, sequences unpadded;
- (b) PEFT with transformers' Trainer, likewise, on the first half of the studies, set against (a) on that half;
- (c) the released rule, batch 1 padded to 2,048 tokens: a few steps, extrapolated to all;
- the decoder against transformers' `generate`, sampling 128 tokens at temperature 1, top-p 0.95, in batches of rows.

`matmul_share` is 4 × parameters × tokens / seconds over the rate of large products on this machine in this run.
Absolute times depend on the machine; compare figures of one run.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from telling import rounded, say
from transformers import PrinterCallback, Trainer, TrainingArguments

from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.generate.decoding import Request
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.tokenization import example_tokens, prompt_ids
from selfedit.engine.train.adapters import TrainingJob
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.tasks import PassagesTask, load_passages

SHARED = Path(__file__).parents[2] / "shared" / "data"
PADDED_LENGTH = 2048
NEW_TOKENS = 128
SEED = 1


def main() -> None:
    args = parse_arguments()
    rates: list[float] = []
    engine = load_engine(args.model, dtype=args.dtype, bank=args.bank)
    dtype = engine.model.dtype
    jobs = studies(engine, args)
    rates.append(matmul_rate(dtype))
    say(f"{len(jobs)} studies, {sum(job_tokens(job) for job in jobs)} tokens a pass, {dtype}")

    train_bank(engine, [replace(jobs[0], examples=jobs[0].examples[:2])])
    counter = TokenCounter(engine.model)
    bank_seconds = [train_bank(engine, jobs)]
    token_share = sum(job_tokens(job) * job.training.epochs for job in jobs) / counter.take()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rates.append(matmul_rate(dtype))
    say(f"bank: {bank_seconds[0]:.1f} s")

    trunk_seconds = train_bank(engine, [upper_half(engine, job) for job in jobs])
    say(f"bank, upper half: {trunk_seconds:.1f} s")
    decoding = compare_decoders(engine, args)
    rates.append(matmul_rate(dtype))

    reference = load_model(args.model, engine.model.device, dtype).model
    peft_seconds = [train_peft(reference, job) for job in jobs]
    rates.append(matmul_rate(dtype))
    say(f"(a) PEFT, plain loop: {sum(peft_seconds):.1f} s")
    bank_seconds.append(train_bank(engine, jobs))
    half = jobs[: max(1, len(jobs) // 2)]
    trainer_half = sum(train_with_trainer(reference, job) for job in half)
    trainer_seconds = sum(peft_seconds) * trainer_half / sum(peft_seconds[: len(half)])
    say(f"(b) PEFT, Trainer: {trainer_half:.1f} s for the first {len(half)} studies")
    step_seconds = padded_step_seconds(reference, jobs[0], args.padded_steps)
    padded_seconds = step_seconds * sum(len(job.examples) * job.training.epochs for job in jobs)
    rates.append(matmul_rate(dtype))

    seconds = statistics.fmean(bank_seconds)
    tokens = sum(job_tokens(job) * job.training.epochs for job in jobs)
    n_parameters = sum(p.numel() for p in reference.parameters())
    rate = statistics.median(rates)
    found: dict[str, Any] = {
        "speedup_vs_peft": sum(peft_seconds) / seconds,
        "speedup_trunk_vs_peft": sum(peft_seconds) / trunk_seconds,
        "speedup_vs_trainer": trainer_seconds / seconds,
        "speedup_vs_padded": padded_seconds / seconds,
        "matmul_share": 4 * n_parameters * tokens / seconds / (rate * 1e9),
        "token_share": token_share,
        "peak_gb": peak_gb,
        **{f"decode_speedup_{rows}": ours / theirs for rows, (ours, theirs) in decoding.items()},
        "studies": len(jobs),
        "tokens": tokens,
        "seconds": {
            "bank": bank_seconds,
            "bank_trunk": trunk_seconds,
            "peft": sum(peft_seconds),
            "trainer_first_half": trainer_half,
            "padded_step": step_seconds,
            "padded_extrapolated": padded_seconds,
        },
        "tokens_per_second": {
            "bank": tokens / seconds,
            "bank_trunk": tokens / trunk_seconds,
            "peft": tokens / sum(peft_seconds),
        },
        "decoded_tokens_per_second": {
            str(rows): {"bank": ours, "generate": theirs} for rows, (ours, theirs) in decoding.items()
        },
        "matmul_gflops": rates,
        "settings": {
            name: getattr(args, name) for name in ("model", "bank", "rank", "epochs", "passages", "padded_steps")
        },
        "facts": engine.facts,
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "squad" / "val200.jsonl")
    parser.add_argument("--edits", type=Path, default=SHARED / "seal-released" / "edits" / "seal-round2.jsonl")
    parser.add_argument("--passages", type=int, default=8)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--bank", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--padded-steps", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def studies(engine: TorchEngine, args: argparse.Namespace) -> list[TrainingJob]:
    """One job per passage: the pieces of its first self-edit and the passage, batch 1."""
    edits = {record["id"]: record["edits"][0] for record in map(json.loads, args.edits.open())}
    train, heldout = load_passages(str(args.data))
    contexts = (*train, *heldout)[: args.passages]
    task = PassagesTask(contexts, (), "implications")
    training = TrainingConfig(rank=args.rank, alpha=2.0 * args.rank, epochs=args.epochs)
    examples = [task.compile(context, edits[context.id]).examples for context in contexts]
    return [
        TrainingJob(tuple(example_tokens(engine.tokenizer, e) for e in one), training, SEED + i)
        for i, one in enumerate(examples)
    ]


def upper_half(engine: TorchEngine, job: TrainingJob) -> TrainingJob:
    return replace(job, training=replace(job.training, top_layers=0.5))


def train_bank(engine: TorchEngine, jobs: Sequence[TrainingJob]) -> float:
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


def compare_decoders(engine: TorchEngine, args: argparse.Namespace) -> dict[int, tuple[float, float]]:
    """Rows → tokens per second of ours and of `generate`, each row a question about a passage."""
    train, heldout = load_passages(str(args.data))
    contexts = (*train, *heldout)[: max(args.rows)]
    task = PassagesTask(contexts, (), "implications")
    queries = [query for context in contexts for query in task.compile(context, None).queries]
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in queries]
    reference = load_model(args.model, engine.model.device, engine.model.dtype).model
    found = {}
    for rows in args.rows:
        ours = decode_ours(engine, prompts[:rows])
        theirs = decode_generate(reference, engine.tokenizer, prompts[:rows])
        say(f"decoding {rows} rows: {ours:.0f} against {theirs:.0f} tokens/s")
        found[rows] = ours, theirs
    return found


def decode_ours(engine: TorchEngine, prompts: Sequence[tuple[int, ...]]) -> float:
    """Tokens per second; no row may end early."""
    sampling = SamplingParams(temperature=1.0, top_p=0.95, max_new_tokens=NEW_TOKENS)
    requests = [Request(prompt, -1, sampling, seed) for seed, prompt in enumerate(prompts)]
    decoder = copy.copy(engine.speaker.decoder)
    decoder.stop_ids = frozenset()
    started = time.perf_counter()
    texts = decoder.generate(requests)
    seconds = time.perf_counter() - started
    assert all(len(ids) == NEW_TOKENS for ids, _ in texts)
    return len(texts) * NEW_TOKENS / seconds


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
    return len(prompts) * NEW_TOKENS / seconds


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
    """Tokens of one pass over a study."""
    return sum(len(tokens.ids) for tokens in job.examples)


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


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
        f" {found['tokens']} tokens trained",
        "",
        "| figure | measured |",
        "|---|---|",
        *(f"| {label} | {found[key]:.2f}{unit} |" for label, key, unit in ROWS),
        "",
        "| rows | decoder, tokens/s | `generate`, tokens/s | ratio |",
        "|---|---|---|---|",
    ]
    for rows, speeds in found["decoded_tokens_per_second"].items():
        ours, theirs = speeds["bank"], speeds["generate"]
        lines.append(f"| {rows} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.1f}× |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
