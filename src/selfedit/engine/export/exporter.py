"""L1. An adapter is written in the format of other programs, read back, and asked; else it is not exported.

flatten → write → compare with what was learnt → load as others do → ask a known question → (base GGUF beside it)
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from selfedit.engine.export.asking import AskedTokens, Heard, adapted, as_asked, ask
from selfedit.engine.export.flatten import flattened, padded, served_rank
from selfedit.engine.export.gguf_adapter import check_base_gguf, gguf_names, read_gguf, write_gguf
from selfedit.engine.export.inspection import check_answers, check_merged, check_pairs, shapes_of
from selfedit.engine.export.llama_cpp import LlamaCpp, is_here
from selfedit.engine.export.merged_model import load_merged, write_merged
from selfedit.engine.export.peft_folder import kinds_of, read_peft, with_peft, write_peft
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.peft_format import highest_rank, sha256_of
from selfedit.engine.model.devices import choose_device
from selfedit.engine.model.loading import LoadedModel, load_model, weights_sha256
from selfedit.errors import SelfeditError
from selfedit.records import ExportCheck, Exported, ExportFormat, Query

ADAPTER_GGUF, BASE_GGUF = "adapter.gguf", "base.gguf"


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What is to be exported, and how."""

    form: ExportFormat
    adapter: Path
    """Folder of the adapter, in PEFT's format."""
    learner: Path | None
    """Folder of what it lies on; None for the base."""
    query: Query
    """A question whose answer was learnt."""
    name: str
    """What the export is called."""
    base_name: str
    """What the base model is called where it is served."""
    base_gguf: Path | None = None
    """The base model as GGUF, which is put beside a GGUF adapter."""


@dataclass(frozen=True)
class Exporter:
    """A base model, ready for adapters of it to be exported."""

    base: LoadedModel
    """As transformers runs it."""

    def write(self, order: ExportOrder, folder: Path) -> Exported:
        """Fills a folder with one adapter, or with the model that has it, and checks what lies there.

        Raises:
            SelfeditError: the adapter cannot be read or written in this format, or what was written is at fault.
        """
        learner = order.learner
        matrices = flattened(order.adapter, sha256_of(learner) if learner else "")
        if lacking := sorted(matrices.keys() - self._shapes.keys()):
            raise SelfeditError(f"{order.adapter}: has a layer {lacking[0]} that {self.base.name} has not")
        rank = highest_rank([matrices])
        wanted = padded(matrices, served_rank(rank)) if order.form == "peft" else matrices
        beneath = flattened(learner) if learner else {}
        asked = as_asked(self.base.model, self.base.tokenizer, order.query)
        said = _Reference(self._ask(asked), self._ask(asked, beneath) if beneath else None, self._ask(asked, matrices))
        write = {"peft": self._peft, "merged": self._merged, "gguf": self._gguf}[order.form]
        checks = write(order, folder, wanted, asked, said)
        dtype = self._dtype if order.form == "merged" else "float32"
        written = highest_rank([wanted]), rank, kinds_of(wanted), len(wanted), dtype
        return Exported(order.form, *written, tuple(checks), (folder / BASE_GGUF).is_file())

    @property
    def _shapes(self) -> dict[str, tuple[int, int]]:
        return shapes_of(self.base.model)

    def _ask(self, asked: AskedTokens, matrices: Matrices | None = None) -> Heard:
        with adapted(self.base.model, matrices or {}):
            return ask(self.base.model, self.base.tokenizer, asked)

    @property
    def _dtype(self) -> str:
        return str(self.base.model.dtype).removeprefix("torch.")

    def _peft(
        self, order: ExportOrder, folder: Path, wanted: Matrices, asked: AskedTokens, said: _Reference
    ) -> list[ExportCheck]:
        write_peft(folder, wanted, self.base.model, order.base_name)
        check_pairs(read_peft(folder), wanted, self._shapes)
        with with_peft(self.base.model, folder) as loaded:
            answer = ask(loaded, self.base.tokenizer, asked)
        return [said.checked(order.query, answer, self._dtype, "peft")]

    def _merged(
        self, order: ExportOrder, folder: Path, wanted: Matrices, asked: AskedTokens, said: _Reference
    ) -> list[ExportCheck]:
        write_merged(folder, self.base, wanted)
        check_merged(folder, self.base.model, wanted)
        loaded = load_merged(folder, self.base.model.dtype, self.base.model.device)
        answer = ask(loaded, self.base.tokenizer, asked)
        return [said.checked(order.query, answer, self._dtype, "transformers")]

    def _gguf(
        self, order: ExportOrder, folder: Path, wanted: Matrices, asked: AskedTokens, said: _Reference
    ) -> list[ExportCheck]:
        names = gguf_names(self.base.model.config, wanted)
        if order.base_gguf is not None:
            check_base_gguf(order.base_gguf, wanted, names)
            shutil.copyfile(order.base_gguf, folder / BASE_GGUF)
        path = folder / ADAPTER_GGUF
        write_gguf(path, wanted, names, order.name, order.base_name)
        found = read_gguf(path, names)
        check_pairs(found, wanted, self._shapes)
        read = {layer: (a, b) for layer, (a, b) in found.items() if a is not None and b is not None}
        checks = [said.checked(order.query, self._ask(asked, read), self._dtype, "transformers")]
        if order.base_gguf is not None and is_here():
            checks.append(self._by_llama_cpp(order, folder, asked, said))
        return checks

    def _by_llama_cpp(self, order: ExportOrder, folder: Path, asked: AskedTokens, said: _Reference) -> ExportCheck:
        base, tokenizer = folder / BASE_GGUF, self.base.tokenizer
        context = max(256, len(asked.prompt) + len(asked.gold) + asked.longest + 8)
        alone = LlamaCpp(base, context=context).ask(tokenizer, asked)
        answer = LlamaCpp(base, folder / ADAPTER_GGUF, context).ask(tokenizer, asked)
        return _Reference(alone, None, said.learnt).checked(order.query, answer, "quantised", "llama.cpp")


@dataclass(frozen=True, slots=True)
class _Reference:
    """What an export's answer is compared with."""

    base: Heard
    learner: Heard | None
    learnt: Heard

    def checked(self, query: Query, answer: Heard, dtype: str, loaded_by: str) -> ExportCheck:
        """The check, passed. Raises SelfeditError where it is not."""
        check_answers(self.base, self.learner, self.learnt, answer, dtype, loaded_by)
        said = self.base.text, self.base.logprob, answer.text, answer.logprob
        return ExportCheck(query.question, query.gold, *said, loaded_by)


def open_exporter(model: str, device: str, dtype: str, sha256: str) -> Exporter:
    """The base model that a library's adapters are for.

    Args:
        dtype: the number type that the library learnt in.
        sha256: of the model's weights in that type.

    Raises:
        SelfeditError: it cannot be loaded, or has other weights.
    """
    chosen = choose_device(device)
    loaded = load_model(model, chosen, getattr(torch, dtype))
    if weights_sha256(loaded.model) != sha256:
        raise SelfeditError(f"{model}: has other weights than the library was learnt with; nothing is exported")
    return Exporter(loaded)
