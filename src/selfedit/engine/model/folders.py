"""L1. A folder is told apart before anything of it is loaded: a saved model, or something that looks like one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfedit.errors import Field, SettingError

_TRAINING = (
    "trainer_state.json",
    "optimizer.*",
    "scheduler.pt",
    "rng_state*.pth",
    "global_step*",
    "zero_to_fp32.py",
    "*.distcp",
    "pytorch_model_fsdp*",
    "optimizer_*",
    "mp_rank_*",
    "consolidated*",
    "*.ckpt",
)
"""What frameworks leave in the folder of a training run."""
_ADAPTER = "adapter_config.json"


def refusal(name: str, told: str, mend: str) -> SettingError:
    """The error about a model of this name."""
    return SettingError(Field("model"), f" {name}: {told}; {mend}")


def is_local(name: str) -> bool:
    """Whether `name` is a folder; else it is a hub id.

    Raises:
        SettingError: it is a path, and leads to no folder that holds a saved model.
    """
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a home of nobody
        raise refusal(name[:80], f"is no path ({' '.join(str(error).split())[:80]})", "check it") from error
    if not name.strip():
        raise refusal(name, "is empty", "name a folder, a hub id or smollm2-135m")
    if is_folder:
        _check_folder(name, path)
        return True
    if is_file:
        raise refusal(name, "is a file", "name the folder that save_pretrained wrote, with config.json and safetensors")
    if _looks_like_path(name):
        raise refusal(name, "no such folder", "check the path")
    return False


def _looks_like_path(name: str) -> bool:
    """A hub id is `model` or `owner/model`, and no folder here is called like its owner."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or ("/" in name and Path(name).parent.is_dir())


def _check_folder(name: str, folder: Path) -> None:
    if (folder / _ADAPTER).is_file():
        raise _adapter(name, folder)
    has_config = (folder / "config.json").is_file()
    if has_config and any(folder.glob("*.safetensors")):
        return
    if found := _first(folder, _TRAINING):
        told = f"is the checkpoint of a training run ({found}), without a saved model"
        raise refusal(name, told, "gather its weights and save them with save_pretrained")
    if found := _first(folder, ("*.gguf",)):
        raise refusal(name, f"holds GGUF ({found})", "name a folder with safetensors, saved by save_pretrained")
    if found := _first(folder, ("*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack")):
        told = f"has no weights in safetensors, but {found}, which could run code"
        raise refusal(name, told, "save the model again with save_pretrained")
    if not has_config:
        raise _without_config(name, folder)


def _first(folder: Path, patterns: tuple[str, ...]) -> str:
    """The name of the first file or folder like one of these; empty where there is none."""
    return next((path.name for pattern in patterns for path in sorted(folder.glob(pattern))), "")


def _adapter(name: str, folder: Path) -> SettingError:
    config = _json(folder / _ADAPTER)
    base = config.get("base_model_name_or_path")
    of = f" of {base}" if isinstance(base, str) and base else ""
    told = f"is a PEFT adapter{of}, not a model"
    if (folder / "config.json").is_file():
        told = f"holds a PEFT adapter{of} beside a model"
        return refusal(name, told, f"merge the two with merge_and_unload, or take {_ADAPTER} away")
    return refusal(name, told, "merge it into that with PEFT's merge_and_unload, and name the folder saved then")


def _without_config(name: str, folder: Path) -> SettingError:
    inner = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if not inner:
        inner = sorted(str(path.parent.relative_to(folder)) for path in folder.glob("snapshots/*/config.json"))
    if inner:
        return refusal(name, "the folder has no config.json", f"name the one in it: {Path(name) / inner[-1]}")
    return refusal(name, "the folder has no config.json", "name a folder saved by save_pretrained")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
