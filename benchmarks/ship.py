"""Puts an adapter into the package: its weights in bfloat16, its configuration without paths, its card.

    selfedit train --learner warm --warm.data FILE … --run runs/learner
    python benchmarks/ship.py learner runs/learner --data "what it was trained on, by whom, under which licence"

    selfedit questions DOCS --tests written --questioner untouched --train-questioner FILE --out q.jsonl
    python benchmarks/ship.py questioner q.jsonl.questioner/questioner --lessons FILE --data "…"

Prints the SHA-256 that `selfedit.store.adapters` pins. What the rounded adapter is worth is to be measured anew, by
`selfedit eval --learner shipped` and `selfedit questions --questioner shipped`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from selfedit.config import EMBEDDED_MODEL
from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.loop.warm_up import FOLDER
from selfedit.store import read_ledger
from selfedit.store.adapters import (
    ADAPTER_CONFIG,
    SHIPPED,
    SHIPPED_QUESTIONER,
    STUDIED,
    WEIGHTS,
    note_studied,
)
from selfedit.tasks.documents.questioner import TRAINING, lessons_from
from selfedit.tasks.documents.written import lessons


def main() -> None:
    """Reads the command line and writes the folder."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = flags.add_subparsers(dest="kind", required=True)
    for kind, source in (("learner", "run"), ("questioner", "folder")):
        verb = kinds.add_parser(kind)
        verb.add_argument("source", type=Path, metavar=source.upper())
        verb.add_argument("--data", required=True, help="what it was trained on, for the card")
        verb.add_argument("--figures", default="", help="what it was measured to be worth, for the card")
    kinds.choices["questioner"].add_argument("--lessons", type=Path, required=True, help="file that it was trained on")
    kinds.choices["questioner"].add_argument("--seed", type=int, default=0)
    args = flags.parse_args()
    folder, lines = (learner if args.kind == "learner" else questioner)(args)
    replace_file(folder / "README.md", "\n".join(lines).encode())
    print(f"{folder}: {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of(folder)}")


def learner(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """The folder of a run's warm learner, and its card."""
    with read_ledger(args.source / "ledger.db") as ledger:
        done = ledger.warm_up()
    if done is None:
        raise SelfeditError(f"{args.source}: has no warm learner")
    put(args.source / FOLDER, SHIPPED)
    replace_file(SHIPPED / STUDIED, (args.source / FOLDER / STUDIED).read_bytes())
    told = json.loads((args.source / "config.json").read_text())
    warm = json.dumps(told["config"]["warm"], indent=2, sort_keys=True)
    return SHIPPED, [
        "# The learner that comes with selfedit",
        "",
        f"A LoRA adapter of {EMBEDDED_MODEL}, rounded to bfloat16. It has been trained once on passages with their",
        "questions; every study is laid on it (`--learner shipped`). It teaches the model to answer from what it has",
        "studied, and no facts to rely on.",
        "",
        f"- Made by: `{told['facts']['command']}`, then `python benchmarks/ship.py learner`",
        f"- Data: {args.data}",
        f"- {done.contexts} passages, {done.examples} training sequences, {done.steps} steps, {done.tokens:,} tokens,"
        f" seed {told['config']['seed']}",
        f"- SHA-256 of the weights: {sha256_of(SHIPPED)}",
        f"- Worth: {args.figures or 'see docs/results/worth.md'}",
        "- Limits: English, short factual questions about a passage, this very model. It may recite what it was",
        "  trained on.",
        "",
        f"```json\n{warm}\n```",
        "",
    ]


def questioner(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """The folder of a questioner, and its card."""
    contexts = lessons_from(args.lessons)
    put(args.source, SHIPPED_QUESTIONER)
    note_studied(SHIPPED_QUESTIONER, [context.text for context in contexts])
    return SHIPPED_QUESTIONER, [
        "# The questioner that comes with selfedit",
        "",
        f"A LoRA adapter of {EMBEDDED_MODEL}, rounded to bfloat16. It writes a question for a sentence and an answer",
        "that stands in it (`selfedit questions --tests written`), and nothing else.",
        "",
        "- Made by: `selfedit questions DOCS --tests written --questioner untouched --train-questioner FILE --seed"
        f" {args.seed}`, then",
        "  `python benchmarks/ship.py questioner`",
        f"- Data: {args.data}",
        f"- {len(lessons(contexts))} questions about {len(contexts)} passages, seed {args.seed}",
        f"- SHA-256 of the weights: {sha256_of(SHIPPED_QUESTIONER)}",
        f"- Worth: {args.figures or 'see docs/results/self-tests.md'}",
        "- Limits: English, names, numbers, dates and terms as answers, this very model. Many of its questions are of",
        "  no use, which is why each is tried before it is kept.",
        "",
        f"```json\n{json.dumps(asdict(TRAINING), indent=2, sort_keys=True)}\n```",
        "",
    ]


def put(source: Path, folder: Path) -> None:
    """Writes an adapter's weights and configuration, as they ship."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: one.to(torch.bfloat16).contiguous() for name, one in load_file(source / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((source / ADAPTER_CONFIG).read_text())
    config["base_model_name_or_path"] = EMBEDDED_MODEL
    config["target_modules"] = sorted(config["target_modules"])
    replace_file(folder / ADAPTER_CONFIG, json.dumps(config, indent=2, sort_keys=True).encode())


def sha256_of(folder: Path) -> str:
    """Of an adapter's weights."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
