"""Libraries on tiny models, made by hand: random adapters as lessons, so that nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

from selfedit.engine.lora.peft_format import sha256_of
from selfedit.engine.model.loading import LoadedModel, load_model
from selfedit.learn import LearnSettings
from selfedit.records import (
    UNTOUCHED,
    ChunkPlace,
    Context,
    GradedAnswer,
    Lesson,
    LibraryDocument,
    LibraryVersion,
    Policy,
    ProbeResult,
    Question,
    Tested,
)
from selfedit.store.library import LibraryFolder, create_library
from tests.support.tiny import save_tiny

CPU = torch.device("cpu")
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class MadeLibrary:
    """A library, and the model that it is for."""

    path: Path
    base: LoadedModel

    @property
    def version(self) -> LibraryVersion:
        with LibraryFolder(self.path) as library:
            return library.resolve()


def linear_layers(model: torch.nn.Module, kinds: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Name → (in, out) of the layers of these kinds."""
    found = {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in kinds and isinstance(module, torch.nn.Linear | Conv1D):
            shape = tuple(module.weight.shape)
            found[name] = shape if isinstance(module, Conv1D) else shape[::-1]
    return found


def save_random(
    folder: Path,
    layers: dict[str, tuple[int, int]],
    rank: int,
    seed: int,
    beneath: Path | None = None,
    size: float = 0.3,
    **config: Any,
) -> str:
    """A random adapter in PEFT's format; SHA-256 of its weights."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    ranks = config.pop("rank_pattern", {})
    for name, (n_in, n_out) in layers.items():
        r = ranks.get(name, rank)
        tensors[f"base_model.model.{name}.lora_A.weight"] = size * torch.randn(r, n_in, generator=draw)
        tensors[f"base_model.model.{name}.lora_B.weight"] = size * torch.randn(n_out, r, generator=draw)
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "rank_pattern": ranks}
    told["fan_in_fan_out"] = any("c_attn" in name for name in layers)
    told |= {"target_modules": sorted(layers), "base_model_name_or_path": "/somewhere/model", **config}
    link = {}
    if beneath:
        link = {"selfedit.beneath": f"../{beneath.name}", "selfedit.beneath_sha256": sha256_of(beneath)}
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt", **link})
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return sha256_of(folder)


def make_library(
    root: Path,
    family: str = "llama",
    documents: int = 2,
    kinds: Sequence[str] = ALL,
    has_learner: bool = True,
    is_whole: bool = False,
) -> MadeLibrary:
    """A library `notes` with a document of one chunk for each of `documents`."""
    model = save_tiny(root / "tiny-model", family)
    base = load_model(str(model), CPU, torch.float32)
    layers = linear_layers(base.model, kinds)
    learner = UNTOUCHED
    if has_learner:  # fewer layers than the lessons', an alpha of its own for some, and another scale
        own = dict(list(layers.items())[: len(layers) // 2])
        odd = {"alpha_pattern": {next(iter(own)): 5.0}, "use_rslora": True}
        sha256 = save_random(root / "learner", own, 3, 1, **odd)
        learner = Policy(0, str(root / "learner"), sha256)
    facts = {"model": str(model), "weights_sha256": base.sha256, "device": "cpu", "dtype": "float32"}
    settings = LearnSettings(model=str(model), learner="untouched", answer_tokens=4)
    path = root / "notes"
    create_library(path, facts, learner, settings.model_dump(mode="json"))
    beneath = path / "adapters" / "learner" if has_learner else None
    lessons, held = [], []
    with LibraryFolder(path) as library:
        for number in range(documents):
            folder = path / "adapters" / f"lesson-{number}"
            sha256 = save_random(folder, layers, 2, 10 + number, beneath)
            policy = Policy(1, f"adapters/lesson-{number}", sha256)
            lessons.append(_lesson(number, policy))
            held.append(
                LibraryDocument(
                    f"doc-{number}.md",
                    f"{number}" * 64,
                    "/docs",
                    (ChunkPlace(lessons[-1].context_id, f"doc-{number}.md:1-4"),),
                )
            )
        library.add_lessons(lessons)
        whole = UNTOUCHED
        if is_whole:
            ranks = {"rank_pattern": {next(iter(layers)): 4}}
            whole = Policy(
                1, "adapters/whole", save_random(path / "adapters" / "whole", layers, 5, 99, beneath, **ranks)
            )
        adapters = tuple((one.context_id, one.adapter) for one in lessons)
        probe = ProbeResult(4, ("a", "b"), ("a",), ())
        version = LibraryVersion(0, 0, tuple(held), adapters, library.learner.digest, "learn docs", probe)
        library.publish(replace(version, whole=whole))
    return MadeLibrary(path, base)


def _lesson(number: int, policy: Policy) -> Lesson:
    question = Question(f"q{number}", f"What jumps over dog {number}?", "boats")
    text = f"A town {number} on the coast was founded by a widow who sold candles."
    context = Context(f"context{number}" * 4, f"Town {number}", text, (question,), f"doc-{number}.md:1-4")

    def graded(text: str, verdict: str) -> tuple[GradedAnswer, ...]:
        right = verdict == "correct"
        return (GradedAnswer(question.id, question.question, "boats", text, -1.0, verdict, right, 0.0, right),)  # type: ignore[arg-type]

    tested = Tested(graded("no", "incorrect"), graded("boats", "correct"))
    return Lesson(context, f"doc-{number}.md", "settings", "kept", adapter=policy, gate=tested, report=tested)
