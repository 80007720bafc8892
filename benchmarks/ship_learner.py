"""Puts a warm learner into the package: its weights in bfloat16, its configuration without paths, its card.

    selfedit train --learner warm --warm.data FILE … --run runs/learner
    python benchmarks/ship_learner.py runs/learner --data "what it was trained on, by whom, under which licence"

Prints the SHA-256 that `selfedit.store.adapters` pins. What the rounded adapter is worth is to be measured
anew, by `selfedit eval --learner shipped`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from selfedit.config import EMBEDDED_MODEL
from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.loop.warm_up import FOLDER
from selfedit.store import read_ledger
from selfedit.store.adapters import ADAPTER_CONFIG, SHIPPED, STUDIED, WEIGHTS


def main() -> None:
    """Reads the command line and writes the folder."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path)
    flags.add_argument("--data", required=True, help="what it was trained on, for the card")
    flags.add_argument("--figures", default="", help="what it was measured to be worth, for the card")
    args = flags.parse_args()
    with read_ledger(args.run / "ledger.db") as ledger:
        done = ledger.warm_up()
    if done is None:
        raise SelfeditError(f"{args.run}: has no warm learner")
    source, folder = args.run / FOLDER, SHIPPED
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: one.to(torch.bfloat16).contiguous() for name, one in load_file(source / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((source / ADAPTER_CONFIG).read_text())
    config["base_model_name_or_path"] = EMBEDDED_MODEL
    config["target_modules"] = sorted(config["target_modules"])
    replace_file(folder / ADAPTER_CONFIG, json.dumps(config, indent=2, sort_keys=True).encode())
    replace_file(folder / STUDIED, (source / STUDIED).read_bytes())
    told = json.loads((args.run / "config.json").read_text())
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    warm = json.dumps(told["config"]["warm"], indent=2, sort_keys=True)
    lines = [
        "# The learner that comes with selfedit",
        "",
        f"A LoRA adapter of {EMBEDDED_MODEL}, rounded to bfloat16. It has been trained once on passages with their",
        "questions; every study is laid on it (`--learner shipped`). It teaches the model to answer from what it has",
        "studied, and no facts to rely on.",
        "",
        f"- Made by: `{told['facts']['command']}`, then `python benchmarks/ship_learner.py`",
        f"- Data: {args.data}",
        f"- {done.contexts} passages, {done.examples} training sequences, {done.steps} steps, {done.tokens:,} tokens,"
        f" seed {told['config']['seed']}",
        f"- SHA-256 of the weights: {digest}",
        f"- Worth: {args.figures or 'see docs/results/worth.md'}",
        "- Limits: English, short factual questions about a passage, this very model. It may recite what it was",
        "  trained on.",
        "",
        f"```json\n{warm}\n```",
        "",
    ]
    replace_file(folder / "README.md", "\n".join(lines).encode())
    print(f"{folder}: {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
