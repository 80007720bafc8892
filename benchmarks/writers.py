"""How fast self-edits are written, beside llama.cpp with the same model at the same precision, and what 8 bits change.

    python benchmarks/writers.py [--rounds N] [--rows N...] [--json]

Sides, in turns, round by round: the decoder in the model's own numbers and llama.cpp with a float32 GGUF of the same
weights; the decoder with base weights of 8 bits (`--write-dtype int8`) and llama.cpp with Q8_0, likewise 8 bits. Each
continues the same prompts (questions about SQuAD passages) by 64 tokens at temperature 1, top-p 0.95, and ends at no
token. llama.cpp (xllamacpp, an extra) has as many slots as there are rows, and as many threads as torch.

What 8 bits change: for the first published self-edits of 16 passages, behind the prompt that asks for one, the
log-probability a token, and the Kullback-Leibler divergence of what is expected next, float32 from 8 bits.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from bank import DATA, EDITS, NEW_TOKENS, cell, decode_ours, rate_of, ratio, rounds_of, studies_of
from gguf import GGMLQuantizationType
from telling import cpu_name, rounded, say

from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.packing import Tokens, pack
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.tokenization import prompt_ids
from selfedit.report.stats.intervals import bootstrap
from selfedit.tasks import PassagesTask, load_passages
from tests.support.gguf_models import write_base_gguf

MODEL = "smollm2-135m"
PASSAGES = 16
PAIRS = (("llama.cpp float32", "decoder"), ("llama.cpp Q8_0", "int8"))
"""(theirs, ours) at equal precision."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = load_engine(MODEL, "cpu", "float32", write_dtype="int8")
    _, queries = studies_of(engine, 1, max(args.rows))
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in queries]
    quality = what_changes(engine)
    say(f"8 bits: {quality['divergence']['value']:.4f} nats a token")
    with tempfile.TemporaryDirectory() as folder:
        base = load_model(MODEL, engine.model.device, torch.float32)
        files = {"llama.cpp float32": None, "llama.cpp Q8_0": GGMLQuantizationType.Q8_0}
        for name, kind in files.items():
            write_base_gguf(Path(folder) / f"{name}.gguf", base, kind)
        timed = {}
        for rows in args.rows:
            longest = max(map(len, prompts[:rows])) + NEW_TOKENS
            theirs = {name: LlamaCpp(Path(folder) / f"{name}.gguf", rows, longest) for name in files}
            sides = {
                "decoder": lambda some=prompts[:rows]: decode_ours(engine.speaker.decoder, some),
                "int8": lambda some=prompts[:rows]: decode_ours(engine.speaker.drawer, some),
                **{name: lambda one=one, some=prompts[:rows]: one.write(some) for name, one in theirs.items()},
            }
            for side in sides.values():
                side()
            timed[rows] = rounds_of(sides, args.rounds, torch.float32)
            del theirs, sides
    found = {
        "speedups": {
            str(rows): {f"{ours} against {theirs}": ratio(one, theirs, ours) for theirs, ours in PAIRS}
            for rows, one in timed.items()
        },
        "tokens_per_second": {
            str(rows): {side: rate_of(one, side, rows * NEW_TOKENS) for pair in PAIRS for side in pair}
            for rows, one in timed.items()
        },
        "eight_bits": quality,
        "rounds": {str(rows): one for rows, one in timed.items()},
        "facts": engine.facts,
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


class LlamaCpp:
    """A GGUF in llama.cpp, with a slot for each of `rows` texts of at most `longest` tokens."""

    def __init__(self, path: Path, rows: int, longest: int) -> None:
        xllamacpp: Any = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = rows * longest, rows, 0
        params.warmup, params.verbosity, params.fit_params, params.ui = False, -1, False, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = torch.get_num_threads()
        params.cache_prompt = False
        self._server = xllamacpp.Server(params)
        self._threads = ThreadPoolExecutor(rows)

    def write(self, prompts: Sequence[tuple[int, ...]]) -> float:
        """Seconds for a text after each prompt, all at once."""
        started = time.perf_counter()
        replies = list(self._threads.map(self._one, prompts, range(len(prompts))))
        seconds = time.perf_counter() - started
        assert replies == [NEW_TOKENS] * len(prompts), replies
        return seconds

    def _one(self, prompt: tuple[int, ...], seed: int) -> int:
        request = {"prompt": list(prompt), "temperature": 1.0, "top_p": 0.95, "top_k": 0, "min_p": 0.0, "seed": seed}
        request |= {"n_predict": NEW_TOKENS, "ignore_eos": True, "cache_prompt": False}
        return int(self._server.handle_completions(request)["usage"]["completion_tokens"])


def what_changes(engine: TorchEngine) -> dict[str, Any]:
    """Of each passage's first self-edit, a token: log-probability exactly and in 8 bits, and the divergence."""
    written = {record["id"]: record["edits"][0] for record in map(json.loads, EDITS.open())}
    train, heldout = load_passages(str(DATA))
    contexts = (*train, *heldout)[:PASSAGES]
    task = PassagesTask(contexts, (), "implications")
    found: dict[str, dict[tuple[str, str], float]] = {}
    for context in contexts:
        prompt = prompt_ids(engine.tokenizer, task.prompt(context))
        text = engine.tokenizer(written[context.id], add_special_tokens=False)["input_ids"]
        exact, rounded_ = (expected(engine, (*prompt, *text), len(prompt), is_rounded) for is_rounded in (False, True))
        gold = torch.tensor(text)[:, None]
        said = {
            "exactly": exact.gather(1, gold).mean(),
            "in_8_bits": rounded_.gather(1, gold).mean(),
            "divergence": (exact.exp() * (exact - rounded_)).sum(1).mean(),
            "same_likeliest": (exact.argmax(1) == rounded_.argmax(1)).float().mean(),
        }
        for name, value in said.items():
            found.setdefault(name, {})[context.id, ""] = value.item()
    found["difference"] = {key: found["in_8_bits"][key] - found["exactly"][key] for key in found["exactly"]}
    return {name: vars_of(bootstrap(values)) for name, values in found.items()}


def vars_of(interval: Any) -> dict[str, Any]:
    return {name: getattr(interval, name) for name in ("value", "low", "high", "n_contexts")}


def expected(engine: TorchEngine, ids: Sequence[int], start: int, is_rounded: bool) -> torch.Tensor:
    """[n, vocabulary] log-probabilities of what follows, from the place before `start` on."""
    packed = pack([Tokens(tuple(ids), len(ids))], [-1], engine.model.device)
    how = {"lengths": packed.lengths, "is_rounded": is_rounded}
    engine.holder.follow(packed.segments, engine.model.device, engine.model.dtype, **how)
    keep = torch.arange(start - 1, len(ids) - 1)
    with torch.no_grad():
        return next_logits(engine.model, engine.holder, packed.ids, packed.positions, keep).log_softmax(-1)


def table(found: dict[str, Any]) -> str:
    sides = [side for pair in PAIRS for side in pair]
    speeds = found["tokens_per_second"]
    ratios = [f"{ours} against {theirs}" for theirs, ours in PAIRS]
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
    lines += ["", "| 8 bits | |", "|---|---|"]
    for name, one in found["eight_bits"].items():
        lines.append(f"| {name} | {one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f}) |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
