"""How fast many adapters train on one GPU, on models of full size with random weights: nothing is downloaded.

    PYTHONPATH=src python benchmarks/gpu.py [--json] [--out gpu.json] [--shapes 7b,135m] [--banks 1,2,4,8,16,32]

It needs torch, transformers, peft, numpy and safetensors alone. The studies are token sequences at random whose number
and lengths are SEAL's: 7 to 12 sequences of 20 to 50 tokens and one passage of 150 to 250, batch 1, one adapter of
rank 32 on all linear layers. For each shape of model and each K it times:

- bank: K studies in a bank of K, against PEFT with a plain loop, one adapter after the other, unpadded;
- the decoder against transformers' `generate`, sampling at temperature 1, top-p 0.95, in batches of rows;
- a self-edit from end to end: written (one of 64 rows of 256 tokens), trained, and 5 questions scored and answered
  (64 tokens each, all K adapters together), per self-edit. The paper reports 30 to 45 s.

1. A study has `--epochs` passes; `--timed-epochs` of them are run, and the time is scaled to all. What an adapter costs
   once is scaled along for the bank, and not for PEFT.
2. PEFT runs the first studies only; its time for K of them is its time per step times their steps.
3. `matmul_share` is 4 × parameters × tokens / seconds over the rate of products of 8,192 × 8,192 in this run.
4. The head's weights are drawn so wide that the next token is about as certain as a trained model's.

Sections run in order of importance until `--budget` seconds are over; `--out` is written after each of them, and what
was not reached is listed.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import random
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from telling import rounded, say
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, PreTrainedTokenizerFast, Qwen2Config

from selfedit import seeds
from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.packing import Tokens
from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.model.devices import choose_device, choose_dtype
from selfedit.engine.model.loading import LoadedModel
from selfedit.engine.train.adapters import Trained, TrainingJob
from selfedit.records import SamplingParams, TrainingConfig

SEQUENCES, SEQUENCE_TOKENS, PASSAGE_TOKENS = (7, 12), (20, 50), (150, 250)
QUESTIONS, QUESTION_TOKENS, GOLD_TOKENS, ANSWER_TOKENS = 5, (20, 50), 8, 64
WRITTEN_ROWS, WRITTEN_TOKENS, PROMPT_TOKENS = 64, 256, 300
DECODED_TOKENS = 128
LOGIT_SPREAD = 10.0
"""Standard deviation of the logits."""
GRACE_SECONDS = 40.0
"""A section that is running when the budget ends may go on for this long."""
SEED = 1

CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "7b": lambda: Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
    ),
    "135m": lambda: LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    "tiny": lambda: Qwen2Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
    ),
}
"""`7b` is Qwen2.5-7B's shape, `135m` SmolLM2-135M's."""


def main() -> None:
    started = time.perf_counter()
    args = parse_arguments()
    found = Found(args)
    for shape in args.shapes:
        bench = Bench(shape, args)
        for name, section in sections(bench, args):
            left = args.budget - (time.perf_counter() - started)
            if left < 0:
                found.not_run.append(f"{shape} {name}")
                continue
            found.run(shape, name, section, left + GRACE_SECONDS)
            found.results.setdefault(shape, {}).update(bench.summary(args))
            found.seconds = time.perf_counter() - started
            found.write()
        bench.close()
    found.write()
    print(json.dumps(found.record(), indent=1) if args.json else table(found.record()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=lambda text: text.split(","), default=["7b", "135m"])
    parser.add_argument("--banks", type=numbers, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--rows", type=numbers, default=[1, 16, 64, 256])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--timed-epochs", type=int, default=3)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--peft-studies", type=int, default=8)
    parser.add_argument("--budget", type=float, default=420.0, help="seconds")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.shapes) - set(CONFIGS):
        parser.error(f"--shapes: {', '.join(sorted(unknown))}; known are {', '.join(CONFIGS)}")
    args.timed_epochs = min(args.timed_epochs, args.epochs)
    return args


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


@dataclass
class Found:
    """What has been measured so far."""

    args: argparse.Namespace
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, shape: str, name: str, section: Callable[[], Any], seconds: float) -> None:
        """One section of at most these seconds; whatever goes wrong in it must not lose the others."""
        started = time.perf_counter()
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            section()
            outcome = "done"
        except torch.OutOfMemoryError:
            outcome = self.failed[f"{shape} {name}"] = "out of memory"
        except Exception as error:  # noqa: BLE001  # see above; the reason is kept and shown
            outcome = self.failed[f"{shape} {name}"] = f"{type(error).__name__}: {str(error)[:200]}"
            traceback.print_exc(limit=-3)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        torch.cuda.empty_cache()
        say(f"{shape} {name}: {outcome}, {time.perf_counter() - started:.1f} s")

    def record(self) -> dict[str, Any]:
        device = choose_device(self.args.device)
        names = ("banks", "rows", "epochs", "timed_epochs", "rank", "peft_studies", "budget")
        return rounded(
            {
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "settings": {name: getattr(self.args, name) for name in names},
                "shapes": self.results,
                "failed": self.failed,
                "not_run": self.not_run,
                "seconds": self.seconds,
            }
        )

    def write(self) -> None:
        """Into `--out`, whole or not at all."""
        if self.args.out:
            staging = self.args.out.with_suffix(".part")
            staging.write_text(json.dumps(self.record(), indent=1))
            os.replace(staging, self.args.out)


def _stop(*_: Any) -> None:
    raise TimeoutError("the budget is over")


def sections(bench: Bench, args: argparse.Namespace) -> list[tuple[str, Callable[[], None]]]:
    """Name and deed, the most important first: K = 8 against PEFT, then the rest."""
    first = 8 if 8 in args.banks else args.banks[-1]
    rest = sorted((k for k in args.banks if k != first), reverse=True)
    return [
        ("model", bench.build),
        (f"bank {first}", lambda: bench.time_bank(first)),
        ("peft", bench.time_peft),
        ("writing", bench.time_writing),
        *((f"bank {k}", lambda k=k: bench.time_bank(k)) for k in rest),
        *((f"decoder {rows}", lambda rows=rows: bench.time_decoder(rows)) for rows in args.rows),
        *((f"generate {rows}", lambda rows=rows: bench.time_generate(rows)) for rows in args.rows),
    ]


class Bench:
    """One shape of model, and what has been measured on it."""

    def __init__(self, shape: str, args: argparse.Namespace) -> None:
        self.config, self.shape = CONFIGS[shape](), shape
        self.device = choose_device(args.device)
        self.dtype = choose_dtype("auto", self.device)
        self.timed_epochs, self.n_peft = args.timed_epochs, args.peft_studies
        training = TrainingConfig(rank=args.rank, alpha=2.0 * args.rank, epochs=args.timed_epochs)
        self.jobs = [made_up_study(i, self.config.vocab_size, training) for i in range(max(args.banks))]
        self.rates: list[float] = []
        self.banks: dict[int, dict[str, float]] = {}
        self.peft: dict[str, float] = {}
        self.decoded: dict[str, dict[int, float]] = {"decoder": {}, "generate": {}}
        self.writing_seconds: float | None = None
        self.n_parameters = 0
        self._engine: TorchEngine | None = None
        self._reference: Any = None

    @property
    def engine(self) -> TorchEngine:
        if self._engine is None:
            self._reference = None
            gc.collect()
            model = random_model(self.config, self.device, self.dtype)
            self._engine = TorchEngine(LoadedModel(model, random_tokenizer(), self.shape, ""))
        return self._engine

    @property
    def reference(self) -> Any:
        """The model as transformers makes it; the engine's gives its memory back first."""
        if self._reference is None:
            self._engine = None
            gc.collect()
            self._reference = random_model(self.config, self.device, self.dtype)
        return self._reference

    def close(self) -> None:
        self._engine = self._reference = None
        gc.collect()
        torch.cuda.empty_cache()

    def build(self) -> None:
        self.rates.append(matmul_rate(self.device, self.dtype))
        self.n_parameters = sum(p.numel() for p in self.engine.model.parameters())
        say(f"{self.n_parameters / 1e6:.0f} M parameters, {self.dtype}, products at {self.rates[-1]:.0f} GFLOP/s")

    def time_bank(self, size: int) -> None:
        """Train `size` adapters together, then score and answer their questions."""
        engine, jobs = self.engine, self.jobs[:size]
        engine.sizes.slots = size
        short = [warm_up(job) for job in jobs]
        self._ask(short, engine._train(short), 8)
        reset_peak(self.device)
        results, seconds = self._timed(lambda: engine._train(jobs))
        assert all(result.row is not None for result in results), "a study failed"
        asked, asking = self._timed(lambda: self._ask(jobs, results, ANSWER_TOKENS))
        assert asked == size * QUESTIONS
        self.banks[size] = {
            "train": seconds,
            "ask": asking,
            "peak_gb": peak_gb(self.device),
            "pack_tokens": engine.sizes.pack_tokens,
        }
        engine.bank.release()
        self.rates.append(matmul_rate(self.device, self.dtype))

    def _ask(self, jobs: Sequence[TrainingJob], results: Sequence[Trained], n_tokens: int) -> int:
        """As `TorchEngine.run_trials` asks, but on token ids; returns how many answers there are."""
        engine = self.engine
        for slot, (job, result) in enumerate(zip(jobs, results, strict=True)):
            assert result.row is not None
            engine.bank.load_row(slot, result.row, job.training.alpha / job.training.rank)
        slots = [slot for slot in range(len(jobs)) for _ in range(QUESTIONS)]
        golds = [question(i, self.config.vocab_size) for i in range(len(slots))]
        mean_logprobs(engine.model, engine.holder, golds, slots, 4 * engine.sizes.pack_tokens, engine.lower)
        greedy = SamplingParams(temperature=0.0, max_new_tokens=n_tokens)
        requests = [Request(g.ids[: g.loss_from], slot, greedy) for g, slot in zip(golds, slots, strict=True)]
        return len(self._decoder().generate(requests))

    def time_peft(self) -> None:
        """One adapter after the other with PEFT's own layers, a plain loop and torch's AdamW."""
        reference = self.reference
        jobs = self.jobs[: self.n_peft]
        train_peft(reference, warm_up(jobs[0]))
        reset_peak(self.device)
        runs = [train_peft(reference, job) for job in jobs]
        steps = sum(job.n_steps for job in jobs)
        self.peft = {
            "studies": len(jobs),
            "setup_seconds": statistics.fmean(setup for setup, _ in runs),
            "step_seconds": sum(stepping for _, stepping in runs) / steps,
            "peak_gb": peak_gb(self.device),
        }
        self.rates.append(matmul_rate(self.device, self.dtype))

    def time_writing(self) -> None:
        """Self-edits written together, as a round writes them."""
        self._write(WRITTEN_ROWS, 8)
        self.writing_seconds = self._timed(lambda: self._write(WRITTEN_ROWS, WRITTEN_TOKENS))[1] / WRITTEN_ROWS

    def time_decoder(self, rows: int) -> None:
        self._write(rows, 8)
        seconds = self._timed(lambda: self._write(rows, DECODED_TOKENS))[1]
        self.decoded["decoder"][rows] = rows * DECODED_TOKENS / seconds

    def time_generate(self, rows: int) -> None:
        self._generate(rows, 8)
        seconds = self._timed(lambda: self._generate(rows, DECODED_TOKENS))[1]
        self.decoded["generate"][rows] = rows * DECODED_TOKENS / seconds

    def _write(self, rows: int, n_tokens: int) -> None:
        sampling = SamplingParams(temperature=1.0, top_p=0.95, max_new_tokens=n_tokens)
        requests = [Request(ids, -1, sampling, seed) for seed, ids in enumerate(self._prompts(rows))]
        texts = self._decoder().generate(requests)
        assert all(len(ids) == n_tokens for ids, _ in texts), "a text ended early"

    def _generate(self, rows: int, n_tokens: int) -> None:
        ids = torch.tensor(self._prompts(rows), device=self.device)
        torch.manual_seed(SEED)
        out = self.reference.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_p=0.95,
            top_k=0,
            min_new_tokens=n_tokens,
            max_new_tokens=n_tokens,
            pad_token_id=0,
        )
        assert out.shape == (rows, PROMPT_TOKENS + n_tokens)

    def _prompts(self, rows: int) -> list[tuple[int, ...]]:
        """Distinct prompts of one length: `generate` pays for no padding."""
        return [random_ids(PROMPT_TOKENS, self.config.vocab_size, "prompt", i) for i in range(rows)]

    def _decoder(self) -> Decoder:
        """The engine's, with 256 rows, and no text that ends early."""
        decoder = copy.copy(self.engine.speaker.decoder)
        decoder.stop_ids, decoder.max_rows = frozenset(), 256
        return decoder

    def _timed(self, function: Callable[[], Any]) -> tuple[Any, float]:
        synchronize(self.device)
        started = time.perf_counter()
        result = function()
        synchronize(self.device)
        return result, time.perf_counter() - started

    def summary(self, args: argparse.Namespace) -> dict[str, Any]:
        """What follows from the measurements so far."""
        if not self.rates:
            return {}
        scale = args.epochs / args.timed_epochs
        return {
            "parameters": self.n_parameters,
            "dtype": str(self.dtype).removeprefix("torch."),
            "matmul_gflops": self.rates,
            "peft": self.peft,
            "bank": {str(k): self._bank_figures(k, scale) for k in sorted(self.banks)},
            "written_seconds": self.writing_seconds,
            "decoded_tokens_per_second": {
                name: {str(rows): rate for rows, rate in rates.items()} for name, rates in self.decoded.items()
            },
        }

    def _bank_figures(self, size: int, scale: float) -> dict[str, float]:
        timed, jobs = self.banks[size], self.jobs[:size]
        seconds = timed["train"] * scale
        tokens = sum(len(t.ids) for job in jobs for t in job.examples) * self.timed_epochs * scale
        rate = statistics.median(self.rates) * 1e9
        figures = {
            "studies_per_second": size / seconds,
            "tokens_per_second": tokens / seconds,
            "matmul_share": 4 * self.n_parameters * tokens / seconds / rate,
            "peak_gb": timed["peak_gb"],
            "pack_tokens": timed["pack_tokens"],
            "train_seconds": seconds,
            "timed_seconds": timed["train"],
            "ask_seconds": timed["ask"],
        }
        if self.peft:
            steps = sum(job.n_steps for job in jobs) * scale
            theirs = self.peft["setup_seconds"] * size + self.peft["step_seconds"] * steps
            figures |= {"peft_studies_per_second": size / theirs, "speedup_vs_peft": theirs / seconds}
        if self.writing_seconds is not None:
            figures["seconds_per_self_edit"] = self.writing_seconds + (seconds + timed["ask"]) / size
        return figures


def random_model(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """The shape with random weights, made where it is to be."""
    torch.manual_seed(SEED)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype, attn_implementation="sdpa")
    with torch.no_grad():
        model.get_output_embeddings().weight.normal_(std=LOGIT_SPREAD / config.hidden_size**0.5)
    return model.to(device).eval().requires_grad_(False)


def random_tokenizer() -> PreTrainedTokenizerFast:
    """One token per octet: all texts here are token ids already, but an engine has a tokenizer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({text: i for i, text in enumerate(["<|end|>", *alphabet])}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")


def made_up_study(index: int, vocab_size: int, training: TrainingConfig) -> TrainingJob:
    """The `index`-th study: the sequences of a self-edit and the passage."""
    draw = random.Random(seeds.derive("study", index))
    lengths = [draw.randint(*SEQUENCE_TOKENS) for _ in range(draw.randint(*SEQUENCES))]
    lengths.append(draw.randint(*PASSAGE_TOKENS))
    examples = [Tokens(random_ids(n, vocab_size, "sequence", index, i), 1) for i, n in enumerate(lengths)]
    return TrainingJob(tuple(examples), training, SEED + index)


def question(index: int, vocab_size: int) -> Tokens:
    """A question and its gold answer."""
    length = random.Random(seeds.derive("question", index)).randint(*QUESTION_TOKENS)
    return Tokens(random_ids(length + GOLD_TOKENS, vocab_size, "question", index), length)


def random_ids(n: int, vocab_size: int, *names: object) -> tuple[int, ...]:
    draw = random.Random(seeds.derive(*names))
    return tuple(draw.randrange(vocab_size) for _ in range(n))


def warm_up(job: TrainingJob) -> TrainingJob:
    """A few steps of a job, among them the longest sequence."""
    lengths = [len(tokens.ids) for tokens in job.examples]
    chosen = (job.examples[0], job.examples[1], job.examples[lengths.index(max(lengths))])
    return TrainingJob(chosen, replace(job.training, epochs=1), job.seed)


def train_peft(reference: Any, job: TrainingJob) -> tuple[float, float]:
    """(seconds until the adapter is there, seconds of its steps)."""
    device = reference.device
    synchronize(device)
    started = time.perf_counter()
    config = LoraConfig(
        r=job.training.rank, lora_alpha=job.training.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with device:  # the adapter is drawn on the GPU, which is faster than on the CPU
        model = get_peft_model(copy.copy(reference), config)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=job.training.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / job.n_steps)
    synchronize(device)
    ready = time.perf_counter()
    for _ in range(job.training.epochs):
        for tokens in job.examples:
            ids = torch.tensor([tokens.ids], device=device)
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, job.training.max_grad_norm)
            optimizer.step()
            schedule.step()
    synchronize(device)
    seconds = time.perf_counter() - ready
    model.unload()
    return ready - started, seconds


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of large square products, the best of some."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(20):
        synchronize(device)
        started = time.perf_counter()
        left @ right
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds) / 1e9


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float:
    """Memory that tensors took at most since `reset_peak`; on a CPU it is not measured, and 0."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0


COLUMNS = (
    ("studies/s", "studies_per_second", ".3f"),
    ("PEFT, studies/s", "peft_studies_per_second", ".3f"),
    ("ratio", "speedup_vs_peft", ".2f"),
    ("share of matmul rate", "matmul_share", ".3f"),
    ("peak memory, GB", "peak_gb", ".1f"),
    ("seconds per self-edit", "seconds_per_self_edit", ".2f"),
)


def table(record: dict[str, Any]) -> str:
    settings = record["settings"]
    lines = [
        f"{record['device']}, torch {record['torch']}, rank {settings['rank']}, {settings['epochs']} epochs, of which"
        f" {settings['timed_epochs']} were run, {record['seconds']:.0f} s in all",
    ]
    for shape, found in record["shapes"].items():
        if found:
            lines += ["", *shape_table(shape, found)]
    lines += [f"failed: {name} ({reason})" for name, reason in record["failed"].items()]
    lines += [f"not run: {', '.join(record['not_run'])}"] if record["not_run"] else []
    return "\n".join(lines)


def shape_table(shape: str, found: dict[str, Any]) -> list[str]:
    decoded = found["decoded_tokens_per_second"]
    return [
        f"{shape}: {found['parameters'] / 1e6:.0f} M parameters, {found['dtype']}",
        "",
        f"| K | {' | '.join(label for label, _, _ in COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
        *(
            f"| {k} | {' | '.join(cell(figures.get(key), form) for _, key, form in COLUMNS)} |"
            for k, figures in found["bank"].items()
        ),
        "",
        "| rows | decoder, tokens/s | `generate`, tokens/s |",
        "|---|---|---|",
        *(
            f"| {rows} | {cell(rate, '.0f')} | {cell(decoded['generate'].get(rows), '.0f')} |"
            for rows, rate in decoded["decoder"].items()
        ),
    ]


def cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
