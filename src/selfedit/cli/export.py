"""L5. `selfedit export`: what a library has learnt, for PEFT, vLLM, transformers, llama.cpp and Ollama."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from selfedit.cli.output import LIBRARY, JsonCommand, Output, say
from selfedit.cli.progress import show_progress
from selfedit.config import EMBEDDED_MODEL
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn import settings_of
from selfedit.learn.export import Export, choose
from selfedit.records import Exported, ExportFormat
from selfedit.store.library import LIVE, LibraryFolder

if TYPE_CHECKING:
    from selfedit.engine.export.exporter import Exporter


@dataclass(frozen=True, kw_only=True)
class ExportCommand(JsonCommand):
    """Export what a version has learnt, for other programs: an adapter for the base model (PEFT, vLLM), a whole model
    (transformers), or GGUF (llama.cpp, Ollama). Learner and adapter become one. Before the folder is put into place, it
    is loaded as those programs load it and asked a known question; where the answer is not what was learnt, nothing is
    exported."""

    reference: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REF")] = LIVE
    """The version: `live`, a number, an alias, or the beginning of a digest; also behind `NAME@`."""
    library: Path = LIBRARY
    """Folder of the library."""
    format: ExportFormat = "peft"
    """`peft`: a LoRA adapter. `merged`: a model in safetensors. `gguf`: a LoRA adapter in GGUF with a Modelfile."""
    to: Path
    """Folder of the export; absent or empty."""
    document: str = ""
    """Name of a document: its chunk's adapter alone."""
    chunk: str = ""
    """Place or id of a chunk, as `library show` and `ask` name it: its adapter alone."""
    each: bool = False
    """Of several chunks, one folder each, with a manifest; for `peft`."""
    base: str = ""
    """What the base model is called where it is served. Empty: its name on the hub, or its folder's name."""
    base_gguf: Path | None = None
    """The base model as GGUF, copied beside the adapter. None: fetched for the embedded model, else left out."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`: where it is asked."""

    def run(self, out: Output) -> None:
        """Exports, and says what lies where."""
        if self.each and self.format != "peft":
            raise SettingError(Field("each"), " is for ", Field("format"), f" peft, not {self.format}")
        if self.base_gguf and self.format != "gguf":
            raise SettingError(Field("base_gguf"), " is for ", Field("format"), f" gguf, not {self.format}")
        if self.base_gguf and not self.base_gguf.is_file():
            raise SettingError(Field("base_gguf"), f" {self.base_gguf}: no such file")
        with show_progress(sys.stderr) as progress, LibraryFolder(self.library) as library:
            with library.reading():
                version = library.resolve(self.reference)
                choices = choose(library, version, self.document, self.chunk, self.each)
            settings = settings_of(self.library, self.device)

            def load() -> Exporter:
                from selfedit.engine.export.exporter import open_exporter

                facts = library.facts
                return open_exporter(settings.model, self.device, facts["dtype"], facts["weights_sha256"])

            export = Export(library, version, settings, load, progress, self.base, self.base_gguf)
            export.check_place(self.to)
            if self.format == "gguf" and self.base_gguf is None and settings.model == EMBEDDED_MODEL:
                export = replace(export, base_gguf=_embedded())
            written = export.write(self.format, choices, self.to, self.each)
        if self.format == "gguf" and not written[0].has_base_gguf:
            say(f"export: llama.cpp was not asked; put the base model into {self.to} as base.gguf")
        rows = [as_data(choice.name, choice.place, one) for choice, one in zip(choices, written, strict=True)]
        if out.is_json:
            out.data({"to": str(self.to), "exported": rows})
        for row in [] if out.is_json else rows:
            out.rows(str(self.to), {name: value for name, value in row.items() if value not in ("", None)})


def as_data(name: str, place: str, written: Exported) -> dict[str, Any]:
    """An export as plain values."""
    last = written.checks[-1]
    return {
        "name": name,
        "chunk": place or None,
        "format": written.form,
        "rank": written.rank,
        "learnt_rank": written.learnt_rank,
        "layers": written.layers,
        "dtype": written.dtype,
        "loaded_by": ", ".join(one.loaded_by for one in written.checks),
        "asked": last.question,
        "base_says": last.base,
        "export_says": last.exported,
        "logprob_before": last.base_logprob,
        "logprob_after": last.exported_logprob,
    }


def _embedded() -> Path | None:
    """The embedded model as GGUF; None, with a line, where it cannot be had."""
    from selfedit.engine.model.loading import fetch_embedded_gguf

    try:
        return fetch_embedded_gguf()
    except SelfeditError as error:
        say(f"export: without base.gguf: {error}")
    return None
