"""Which model families work exactly: every causal language model that transformers offers, tried in small.

    python benchmarks/families.py [--only llama,gemma3] [--json] [--out docs/results/families.json]
    python benchmarks/families.py --table docs/results/families.json

Of each `model_type` a small random model is made from its default config, with windows and chunks of 6 tokens. Adapters
are trained on texts of up to 40 tokens in a bank, and each alone in PEFT's layers by a plain loop; both then say what
follows the same tokens, and write greedily past the windows. All in float64. What comes out is one of

    exact      weights, logits and text are the same; with the largest difference, as a share of the largest number
    refused    the engine does not take it; with its line
    inexact    it takes it, and the two differ: a fault
    not built  transformers can't build it in small, or what it builds can't run
    no result  it took too long, or the process died
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from peft import LoraConfig, get_peft_model
from telling import say
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from selfedit import seeds
from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.packing import Tokens, pack
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model.bounds import notices
from selfedit.engine.model.loading import LoadedModel, quiet_transformers
from selfedit.engine.model.miniature import drawn, small_settings
from selfedit.engine.train.adapters import TrainingJob
from selfedit.errors import SelfeditError
from selfedit.records import SamplingParams, TrainingConfig
from tests.support.reference import fill_slots, peft_layers, train_plainly
from tests.support.tiny import Float64Throughout, tiny_tokenizer

_ORDER = ("exact", "inexact", "refused", "not built", "no result")
_EXACT = 1e-7
"""A larger difference is a fault. Rounding makes up to 1e-11, and 1e-8 where a family's code rounds to float32."""
_MAKE_WHOLE: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 8},
    "bart": {"is_decoder": True},
    "bert": {"is_decoder": True},
    "bert-generation": {"is_decoder": True},
    "big_bird": {"is_decoder": True, "attention_type": "original_full"},
    "camembert": {"is_decoder": True},
    "data2vec-text": {"is_decoder": True},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4}},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 2, "topk_group": 1},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "electra": {"is_decoder": True},
    "ernie": {"is_decoder": True},
    "granitemoehybrid": {"mamba_n_heads": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "megatron-bert": {"is_decoder": True},
    "nemotron": {"num_key_value_heads": 4},
    "qwen2_moe": {"use_sliding_window": True, "sliding_window": 6},
    "qwen2": {"use_sliding_window": True, "sliding_window": 6},
    "reformer": {"is_decoder": True},
    "rembert": {"is_decoder": True},
    "roberta": {"is_decoder": True},
    "roberta-prelayernorm": {"is_decoder": True},
    "roc_bert": {"is_decoder": True},
    "roformer": {"is_decoder": True},
    "xlm-roberta": {"is_decoder": True},
    "xlm-roberta-xl": {"is_decoder": True},
    "xmod": {"is_decoder": True, "default_language": "en_XX"},
}
"""What a default config lacks to be a causal language model with its family's features, in small."""
_LONG_ROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64}
_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama (dynamic NTK)": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}),
    "llama (YaRN)": ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}),
    "phi3 (LongRoPE)": (
        "phi3",
        {
            "rope_parameters": {**_LONG_ROPE, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8},
            "original_max_position_embeddings": 64,
        },
    ),
    "qwen3 (window)": (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}
"""Settings of checkpoints in use that defaults leave out."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one family."""

    family: str
    """`model_type`, or a variant's name."""
    outcome: str
    """exact, refused, inexact or not built."""
    why: str = ""
    """The line that refuses it; why it can't be built; what differs."""
    weights: float | None = None
    """Largest difference between trained adapters' numbers, as a share of the largest."""
    logits: float | None = None
    """Likewise between logits."""
    is_text_same: bool | None = None
    """Whether greedy texts of 24 tokens are the same."""
    adapted: str = ""
    """Names of the layers that carry adapters."""
    notes: tuple[str, ...] = ()
    """What the engine says of it at load."""


def main() -> None:
    args = parse_arguments()
    if args.table:
        print(table(json.loads(args.table.read_text())["families"]))
        return
    known = [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *_VARIANTS]
    families = args.only.split(",") if args.only else sorted(known)
    if unknown := sorted(set(families) - set(known)):
        raise SystemExit(f"transformers has no causal language model {', '.join(unknown)}")
    found = []
    for family in families:
        found.append(asdict(tried(family, args.timeout)))
        say(f"{family}: {found[-1]['outcome']} {found[-1]['why']}")
    result = {"transformers": version("transformers"), "torch": torch.__version__, "families": found}
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1) if args.json else table(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="families, joined by commas")
    parser.add_argument("--timeout", type=float, default=400, help="seconds for a family")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    parser.add_argument("--table", type=Path, help="only print the table of this JSON")
    return parser.parse_args()


def tried(family: str, seconds: float) -> Found:
    """Try a family in a process of its own: one that hangs or dies is told as such."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(measure(family)))
    child.start()
    theirs.close()
    found = None
    try:
        if ours.poll(seconds):
            found = ours.recv()
    except EOFError:
        pass
    child.kill()
    child.join()
    return found or Found(family, "no result", f"none within {seconds:g} seconds, or the process died")


def measure(family: str) -> Found:
    """Build it, take it over, and compare."""
    torch.set_num_threads(1)
    quiet_transformers()
    warnings.simplefilter("ignore")
    logging.getLogger("selfedit").setLevel(logging.ERROR)  # its notes are kept instead
    with Float64Throughout():
        try:
            plain = built(family)
            plain(input_ids=torch.arange(2, 42)[None], use_cache=False)
        except Exception as error:  # noqa: BLE001 - whatever a family's code raises is its outcome
            return Found(family, "not built", one_line(error))
        loaded = LoadedModel(copy.deepcopy(plain), tiny_tokenizer(False), family, "none")
        try:
            engine = TorchEngine(loaded, bank_size=2)
        except SelfeditError as error:
            return Found(family, "refused", str(error))
        except Exception as error:  # noqa: BLE001
            return Found(family, "inexact", f"fails at load: {one_line(error)}")
        try:
            found = compared(family, plain, engine)
        except Exception as error:  # noqa: BLE001
            return Found(family, "inexact", f"fails at work: {one_line(error)}")
    try:
        apart = recomputed_apart(plain, engine)
    except Exception as error:  # noqa: BLE001
        return replace(found, outcome="inexact", why=f"fails where layers are computed twice: {one_line(error)}")
    if found.outcome == "exact" and apart > _EXACT:
        return replace(found, outcome="inexact", why=f"differs by {apart:.0e} where layers are computed twice")
    return replace(found, notes=tuple(notices(engine.model, engine.bank)))


def recomputed_apart(plain: PreTrainedModel, engine: TorchEngine) -> float:
    """Between adapters that were trained with and without what the backward pass needs being computed again."""
    rows = []
    for engine.sizes.is_recomputed in (False, True):
        results = engine._train(made_up_jobs(plain))
        rows.append([result.row if result.row is not None else torch.full((1,), torch.nan) for result in results])
    return largest(list(zip(*rows, strict=True)))


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def built(family: str) -> PreTrainedModel:
    """A small random model of the family in float64."""
    kind, changes = _VARIANTS.get(family, (family, _MAKE_WHOLE.get(family, {})))
    config: PreTrainedConfig = CONFIG_MAPPING[kind]()
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    text = config.get_text_config(decoder=True)
    if text is not config and model_class.config_class is type(text):
        config = text
    _fill_head_width(text)
    settings = small_settings(config.to_dict()) | changes
    if "sliding_window" in changes and "layer_types" not in changes:
        settings.pop("layer_types", None)
    return drawn(model_class, type(config).from_dict(settings), torch.float64)


def _fill_head_width(config: PreTrainedConfig) -> None:
    """Some defaults leave it out, and their code can't do without it."""
    if vars(config).get("head_dim", "") is None:
        config.head_dim = 16


def compared(family: str, plain: PreTrainedModel, engine: TorchEngine) -> Found:
    """Train, read and write in both ways."""
    jobs = made_up_jobs(plain)
    results = engine._train(jobs)
    if failed := next((result.failure for result in results if result.failure), ""):
        return Found(family, "inexact", failed)
    mine = [engine.bank.matrices(r.row, job.training.rank) for r, job in zip(results, jobs, strict=True)]
    alone = [trained_alone(plain, engine, job) for job in jobs]
    weights = max(apart(matrices, model) for matrices, model in zip(mine, alone, strict=True))
    engine._allocate(jobs)
    fill_slots(engine, [result.row for result in results[:2]], jobs[:2])
    logits = logits_apart(engine, alone[:2])
    is_text_same = same_texts(engine, alone[:2])
    is_exact = max(weights, logits) < _EXACT and is_text_same
    told = "" if is_exact else "trained weights, logits or text differ"
    names = ", ".join(sorted({name.rpartition(".")[2] for name in engine.bank.layers}))
    return Found(family, "exact" if is_exact else "inexact", told, weights, logits, is_text_same, names)


def made_up_jobs(model: PreTrainedModel) -> list[TrainingJob]:
    """Three, for two slots: short texts and ones that pass every window."""
    settings = TrainingConfig(rank=2, alpha=4, learning_rate=1e-2, epochs=2, batch_size=2)
    lengths = ((40, 9), (7, 23, 31), (12, 38))
    return [
        TrainingJob(
            tuple(text(model, 10 * seed + i, n) for i, n in enumerate(own)), replace(settings, rank=1 + seed), seed
        )
        for seed, own in enumerate(lengths, 1)
    ]


def text(model: PreTrainedModel, seed: int, length: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    n_words = model.config.get_text_config(decoder=True).vocab_size
    return Tokens(tuple(torch.randint(2, n_words, (length,), generator=generator).tolist()), 1)


def trained_alone(plain: PreTrainedModel, engine: TorchEngine, job: TrainingJob) -> Any:
    """The job in PEFT's layers, from the same start, a text a pass."""
    engine._allocate([job])
    engine.bank.fill(0, job.training, seeds.derive(job.seed, "init") % 2**31)
    start = engine.bank.matrices(engine.bank.weights[0], job.training.rank)
    config = LoraConfig(
        r=job.training.rank,
        lora_alpha=job.training.alpha,
        target_modules=list(engine.bank.layers),
        fan_in_fan_out=any(layer.is_transposed for layer in engine.bank.layers.values()),
    )
    model = get_peft_model(copy.deepcopy(plain), config, autocast_adapter_dtype=False)
    for name, layer in peft_layers(model).items():
        layer.lora_A["default"].weight.data = start[name][0].clone()
    train_plainly(model, job)
    return model.eval()


def apart(matrices: Matrices, model: Any) -> float:
    """Between the bank's adapter and PEFT's."""
    layers = peft_layers(model)
    pairs = [
        (mine, getattr(layers[name], f"lora_{part}")["default"].weight)
        for name, both in matrices.items()
        for part, mine in zip("AB", both, strict=True)
    ]
    return largest(pairs)


def largest(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Largest difference, as a share of the largest number wanted."""
    size = max(wanted.detach().abs().max().item() for _, wanted in pairs)
    return max((found - wanted).detach().abs().max().item() for found, wanted in pairs) / size


@torch.no_grad()
def logits_apart(engine: TorchEngine, models: Sequence[Any]) -> float:
    """Of texts in one pack, each with its adapter."""
    texts = [text(engine.model, 91 + slot, 36 + slot) for slot in range(len(models))]
    packed = pack(texts, list(range(len(models))), engine.model.device)
    engine.holder.follow(packed.segments, engine.model.device, engine.model.dtype, lengths=packed.lengths)
    every = torch.arange(packed.ids.shape[1])
    found = next_logits(engine.model, engine.holder, packed.ids, packed.positions, every).split(packed.lengths)
    own = [
        model(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0]
        for one, model in zip(texts, models, strict=True)
    ]
    return largest(list(zip(found, own, strict=True)))


def same_texts(engine: TorchEngine, models: Sequence[Any]) -> bool:
    """Whether both write the same 24 tokens, from prompts longer and shorter than the windows."""
    prompts = [
        (text(engine.model, 71, 21).ids, 0),
        (text(engine.model, 72, 5).ids, 1),
        (text(engine.model, 73, 13).ids, -1),
    ]
    sampling = SamplingParams(temperature=0, max_new_tokens=24)
    decoder = Decoder(engine.model, engine.holder, frozenset(), frozenset(), frozenset(), 2)
    requests = [Request(ids, slot, sampling) for ids, slot in prompts]
    found = [tokens for tokens, _ in decoder.generate(requests)]
    own = []
    for ids, slot in prompts:
        with models[max(slot, 0)].disable_adapter() if slot < 0 else nullcontext():
            own.append(greedy(models[max(slot, 0)], ids, 24))
    return found == own


@torch.no_grad()
def greedy(model: Any, prompt: Sequence[int], n: int) -> list[int]:
    """Token by token, the whole text each time: without a cache that could be a fault of its own."""
    ids = list(prompt)
    for _ in range(n):
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def table(families: Sequence[dict[str, Any]]) -> str:
    """As Markdown: every family, the exact ones first."""
    ordered = sorted(families, key=lambda found: (_ORDER.index(found["outcome"]), found["family"]))
    rows = [[found["family"], found["outcome"], *told(found)] for found in ordered]
    lines = [["family", "outcome", "why", "instead"], ["---"] * 4, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def told(found: dict[str, Any]) -> tuple[str, str]:
    """(why, what works instead)."""
    if found["outcome"] == "refused":
        why, _, instead = found["why"].partition(" is not supported: ")[2].rpartition("; ")
        return why, "" if instead.startswith("take ") else instead.removesuffix(" works").removesuffix(" work")
    if found["outcome"] != "exact":
        return found["why"], ""
    difference = f"largest difference {max(found['weights'], found['logits']):.0e}"
    return "; ".join([difference, *("experts stay as they are" for note in found["notes"] if "experts" in note)]), ""


if __name__ == "__main__":
    main()
