"""Folders from elsewhere: models, and adapters, with a file of theirs changed. They are loaded as a run would load
them; what comes out is a model or a `SelfeditError`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hypothesis import strategies as st

from selfedit.cli import open_run
from selfedit.errors import SelfeditError
from tests.support.fuzz.mutations import damaged, json_files
from tests.support.fuzz.sandbox import Sandbox

MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors")
START_ENGINE = open_run.start_engine
"""As it is outside of tests."""
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def changed_file(draw: st.DrawFn, folder: Path, names: tuple[str, ...]) -> str:
    """Changes one of these files; returns its name. JSON is changed by its values, or as bytes like any other file."""
    name = draw(st.sampled_from(names))
    path = folder / name
    content = path.read_bytes() if path.exists() else b"{}"
    match draw(st.sampled_from(["value", "value", "value", "bytes", "header", "missing", "folder"])):
        case "value" if name.endswith(".json"):
            path.write_bytes(draw(json_files([json.loads(content)])))
        case "header" if name.endswith(".safetensors"):
            path.write_bytes(_with_header(draw, content))
        case "missing":
            path.unlink(missing_ok=True)
        case "folder":
            path.unlink(missing_ok=True)
            path.mkdir()
        case _:
            path.write_bytes(draw(damaged(content)))
    return name


def copied(template: Path, to: Path) -> Path:
    """A fresh copy."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(template, to)
    return to


def tiny_adapter(model: Path, to: Path) -> Path:
    """A plain adapter for the model of this folder, saved by PEFT."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear")
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(to)
    return to


def run_model(sandbox: Sandbox, folder: Path) -> list[str]:
    """What is wrong with how an evaluation of this model ends."""
    words = f"eval --model {folder.name} --data passages.jsonl --methods base,passage --contexts 1 --bank 2 --run r"
    open_run.start_engine = START_ENGINE
    return list(sandbox.run([*words.split(), "--sampling.max-new-tokens", "4", "--inner.epochs", "1"]).wrong)


def read_adapter(sandbox: Sandbox, folder: Path) -> list[str]:
    """What is wrong with how this adapter is read."""
    from selfedit.engine.lora.peft_format import load_adapter

    try:
        load_adapter(folder)
    except SelfeditError as error:
        return [] if "\n" not in str(error) else ["a refusal of many lines"]
    except Exception as error:  # noqa: BLE001 (what comes out otherwise is what is looked for)
        return [f"{type(error).__name__}: {str(error)[:200]}"]
    return []


def _with_header(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file whose header says something else."""
    length = int.from_bytes(content[:8], "little")
    told = draw(json_files([json.loads(content[8 : 8 + length])], 2))
    return len(told).to_bytes(8, "little") + told + content[8 + length :]
