"""How fast self-edits are written, beside llama.cpp with the same model at the same precision, and what 8 bits change.

    python benchmarks/writers.py [--rounds N] [--rows N...] [--speed-only] [--cpu-time] [--json]

Sides, in turns, round by round: the decoder in the model's own numbers and llama.cpp with a float32 GGUF of the same
weights; the decoder with base weights of 8 bits (`--write-dtype int8`) and llama.cpp with Q8_0, likewise 8 bits. Each
continues the same prompts (questions about SQuAD passages) by 64 tokens at temperature 1, top-p 0.95, and ends at no
token. llama.cpp (xllamacpp, an extra) has as many slots as there are rows, and as many threads as torch. Beside them
the decoder at both precisions with every step through the model's own code, and with steps that are written out and
never compiled (see `engine/generate/steps.py` and `few_rows.py`). `--cpu-time`: seconds are those that the process has
computed, for a machine whose cores other work is using; with one thread (`OMP_NUM_THREADS=1`), for others wait busily.

What 8 bits change: for the first published self-edits of 16 passages, behind the prompt that asks for one, the
log-probability a token, and the Kullback-Leibler divergence of what is expected next, float32 from 8 bits. So also for
two that are not in use: weights in 8 bits with what comes in as it is, and what comes in in 8 bits as well.

Where a step's time goes: what the products of one step take by themselves, all layers and the head.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from bank import DATA, EDITS, NEW_TOKENS, cell, decode_ours, rate_of, ratio, rounds_of, studies_of, timed
from gguf import GGMLQuantizationType
from telling import cpu_name, rounded

from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.export.llama_cpp import LlamaCpp
from selfedit.engine.forward import attention
from selfedit.engine.forward.eight_bits import EightBits
from selfedit.engine.forward.packing import Tokens, pack
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.generate.decoding import Decoder
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.tokenization import prompt_ids
from selfedit.report.stats.intervals import bootstrap
from selfedit.tasks import PassagesTask, load_passages
from tests.support.gguf_models import write_base_gguf

MODEL = "smollm2-135m"
PASSAGES = 16
PAIRS = (("llama.cpp float32", "decoder"), ("llama.cpp Q8_0", "int8"))
"""(theirs, ours) at equal precision."""
OWN, WRITTEN = ", own code", ", written out"
"""Ways of ours that are not taken where there are quicker ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--speed-only", action="store_true", help="leave out what 8 bits change")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of the process instead of the clock's")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = load_engine(MODEL, "cpu", "float32", write_dtype="int8")
    _, queries = studies_of(engine, 1, max(args.rows))
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in queries]
    quality = {} if args.speed_only else what_changes(engine)
    with tempfile.TemporaryDirectory() as folder:
        base = load_model(MODEL, engine.model.device, torch.float32)
        files = {"llama.cpp float32": None, "llama.cpp Q8_0": GGMLQuantizationType.Q8_0}
        for name, kind in files.items():
            write_base_gguf(Path(folder) / f"{name}.gguf", base, kind)
        by_rows = {}
        for rows in args.rows:
            longest = max(map(len, prompts[:rows])) + NEW_TOKENS
            theirs = {name: LlamaCppWriter(Path(folder) / f"{name}.gguf", rows, longest) for name in files}
            sides = {
                **ways("decoder", engine.speaker.decoder, prompts[:rows]),
                **ways("int8", engine.speaker.drawer, prompts[:rows]),
                **{name: lambda one=one, some=prompts[:rows]: one.write(some) for name, one in theirs.items()},
            }
            if args.cpu_time:
                sides = {name: lambda side=side: cpu_seconds(side) for name, side in sides.items()}
            for side in sides.values():
                side()
            by_rows[rows] = rounds_of(sides, args.rounds, torch.float32)
            del theirs, sides
    found = {
        "speedups": {
            str(rows): {f"{ours} against {theirs}": ratio(one, theirs, ours) for theirs, ours in compared_sides()}
            for rows, one in by_rows.items()
        },
        "tokens_per_second": {
            str(rows): {side: rate_of(one, side, rows * NEW_TOKENS) for pair in compared_sides() for side in pair}
            for rows, one in by_rows.items()
        },
        "eight_bits": quality,
        "product_seconds_a_step": {str(rows): product_seconds(engine, rows) for rows in args.rows},
        "rounds": {str(rows): one for rows, one in by_rows.items()},
        "facts": engine.facts,
        "threads": torch.get_num_threads(),
        "seconds": "of the process" if args.cpu_time else "of the clock",
        "cpu": cpu_name(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def cpu_seconds(side: Callable[[], float]) -> float:
    """What the process computes while it runs; llama.cpp is part of it."""
    started = time.process_time()
    side()
    return time.process_time() - started


def compared_sides() -> list[tuple[str, str]]:
    """(what is compared with, what is): llama.cpp with ours, and our own ways with one another."""
    ours = [one for _, one in PAIRS]
    return [*PAIRS, *((f"{one}{OWN}", f"{one}{WRITTEN}") for one in ours), *((f"{one}{OWN}", one) for one in ours)]


def ways(name: str, decoder: Decoder, prompts: Sequence[tuple[int, ...]]) -> dict[str, Callable[[], float]]:
    """Sides: as it comes, and without what makes steps quicker."""
    own, written = copy.copy(decoder), copy.copy(decoder)
    own.steps = own.few_rows = written.few_rows = None
    sides = {name: decoder, f"{name}{OWN}": own, f"{name}{WRITTEN}": written}
    return {side: lambda one=one: decode_ours(one, prompts) for side, one in sides.items()}


class LlamaCppWriter:
    """A GGUF in llama.cpp that writes after `rows` prompts at once, `longest` tokens each at most."""

    def __init__(self, path: Path, rows: int, longest: int) -> None:
        self._model = LlamaCpp(path, context=rows * longest, texts=rows)
        self._threads = ThreadPoolExecutor(rows)

    def write(self, prompts: Sequence[tuple[int, ...]]) -> float:
        """Seconds for a text after each prompt."""
        started = time.perf_counter()
        written = list(self._threads.map(self._one, prompts, range(len(prompts))))
        seconds = time.perf_counter() - started
        assert written == [NEW_TOKENS] * len(prompts), written
        return seconds

    def _one(self, prompt: tuple[int, ...], seed: int) -> int:
        request = {"prompt": list(prompt), "temperature": 1.0, "top_p": 0.95, "top_k": 0, "min_p": 0.0, "seed": seed}
        request |= {"n_predict": NEW_TOKENS, "ignore_eos": True, "cache_prompt": False}
        return int(self._model.complete(request)["usage"]["completion_tokens"])


class WeightsAlone:
    """A weight [out, in] that is rounded to 8 bits, and what comes in is not; in float, for comparison."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = in_8_bits(weight)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """x [T, in] → [T, out]."""
        return x @ self._weight.t()


class BothInOneByte(WeightsAlone):
    """What comes in is rounded to 8 bits as well, each row by its own scale."""

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """x [T, in] → [T, out]."""
        return super().product(in_8_bits(x))


def in_8_bits(rows: torch.Tensor) -> torch.Tensor:
    scales = rows.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (rows / scales).round() * scales


KINDS = {"in use": EightBits, "weights alone": WeightsAlone, "both in one byte": BothInOneByte}
"""Ways of rounding."""


def what_changes(engine: TorchEngine) -> dict[str, dict[str, Any]]:
    """By way of rounding: of each passage's first self-edit, a token, what becomes of log-probability and of what is
    expected next."""
    written = {record["id"]: record["edits"][0] for record in map(json.loads, EDITS.open())}
    train, heldout = load_passages(str(DATA))
    contexts = (*train, *heldout)[:PASSAGES]
    task = PassagesTask(contexts, (), "implications")
    texts = []
    for context in contexts:
        text = engine.tokenizer(written[context.id], add_special_tokens=False)["input_ids"]
        texts.append((context.id, prompt_ids(engine.tokenizer, task.prompt(context)), text))
    exact = {key: expected(engine, prompt, text, is_rounded=False) for key, prompt, text in texts}
    changed = {}
    for name, kind in KINDS.items():
        attention.EightBits = kind  # type: ignore[misc, assignment]  # what the engine rounds with
        engine.holder.release()
        found: dict[str, dict[tuple[str, str], float]] = {}
        for key, prompt, text in texts:
            for figure, value in compared(exact[key], expected(engine, prompt, text, is_rounded=True), text).items():
                found.setdefault(figure, {})[key, ""] = value
        changed[name] = {figure: asdict(bootstrap(values)) for figure, values in found.items()}
    attention.EightBits = EightBits  # type: ignore[misc]
    engine.holder.release()
    return changed


def compared(exact: torch.Tensor, found: torch.Tensor, text: Sequence[int]) -> dict[str, float]:
    gold = torch.tensor(text)[:, None]
    before, after = (said.gather(1, gold).mean().item() for said in (exact, found))
    return {
        "exactly": before,
        "in_8_bits": after,
        "difference": after - before,
        "divergence": (exact.exp() * (exact - found)).sum(1).mean().item(),
        "same_likeliest": (exact.argmax(1) == found.argmax(1)).float().mean().item(),
    }


def expected(engine: TorchEngine, prompt: Sequence[int], text: Sequence[int], is_rounded: bool) -> torch.Tensor:
    """[n, vocabulary] log-probabilities at each token of the text."""
    ids = (*prompt, *text)
    packed = pack([Tokens(ids, len(ids))], [-1], engine.model.device)
    how = {"lengths": packed.lengths, "is_rounded": is_rounded}
    engine.holder.follow(packed.segments, engine.model.device, engine.model.dtype, **how)
    keep = torch.arange(len(prompt) - 1, len(ids) - 1)
    with torch.no_grad():
        return next_logits(engine.model, engine.holder, packed.ids, packed.positions, keep).log_softmax(-1)


def product_seconds(engine: TorchEngine, rows: int) -> float:
    """What the products of a step in 8 bits take by themselves, all layers and the head; the median of some."""
    weights = [site.weight for site in engine.bank.sites] + [engine.model.get_output_embeddings().weight]
    pairs = [(EightBits(weight), torch.randn(rows, weight.shape[1])) for weight in weights]

    def all_of_them() -> None:
        for weight, x in pairs:
            weight.product(x)

    with torch.no_grad():
        return statistics.median(timed(all_of_them) for _ in range(15))


def table(found: dict[str, Any]) -> str:
    sides = list(dict.fromkeys(side for pair in compared_sides() for side in pair))
    speeds = found["tokens_per_second"]
    ratios = [f"{ours} against {theirs}" for theirs, ours in compared_sides()]
    lines = [
        f"{found['cpu']}, {found['threads']} threads",
        "",
        "| rows | " + " | ".join(f"{side}, tokens/s" for side in sides) + " | " + " | ".join(ratios) + " |",
        "|---" * (1 + len(sides) + len(ratios)) + "|",
    ]
    for rows, by_side in speeds.items():
        cells = [f"{by_side[side]['median']:.0f}" for side in sides]
        cells += [cell(found["speedups"][rows][name], "×") for name in ratios]
        lines.append(f"| {rows} | {' | '.join(cells)} |")
    figures = list(found["eight_bits"]["in use"]) if found["eight_bits"] else []
    lines += ["", "| 8 bits | " + " | ".join(figures) + " |", "|---" * (1 + len(figures)) + "|"] if figures else []
    for name, by_figure in found["eight_bits"].items():
        cells = [f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})" for one in by_figure.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    products = [f"{1000 * seconds:.1f} with {rows}" for rows, seconds in found["product_seconds_a_step"].items()]
    lines += ["", f"products of a step in 8 bits, ms by rows: {', '.join(products)}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
