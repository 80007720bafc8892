"""L3. How a worker makes its engine: a record that travels, for the model itself does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from selfedit.errors import SettingError
from selfedit.protocols import Engine
from selfedit.store import AdapterFolders


class BuildEngine(Protocol):
    """Makes an engine where it is to work. It travels by pickle, so that its type must be importable there."""

    def __call__(self, adapters: AdapterFolders, threads: int, halvings: int) -> Engine:
        """An engine with its versions in these folders.

        Args:
            threads: of this process; an engine that takes all of a machine's would get into its neighbours' way.
            halvings: how often to halve how much is done at once, since memory has run out before.

        Raises:
            SelfeditError: there can be none here.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Implements `BuildEngine` with a model by name."""

    model: str
    """Known name, hub id, or a folder that is there on every machine."""
    device: str = "auto"
    """As for `load_engine`; a worker sees its own GPU alone."""
    dtype: str = "auto"
    """As for `load_engine`."""
    bank: int = 0
    """As for `load_engine`."""
    write_dtype: str = "same"
    """As for `load_engine`."""
    field: str = "model"
    """The setting that names it, for messages."""

    def __call__(self, adapters: AdapterFolders, threads: int, halvings: int) -> Engine:
        """See `BuildEngine`."""
        from selfedit.engine import limit_threads, load_engine

        limit_threads(threads)
        try:
            engine = load_engine(self.model, self.device, self.dtype, self.bank, adapters, self.write_dtype)
        except SettingError as error:
            raise error.about("model", self.field) from error
        for _ in range(halvings):
            engine.sizes.halve()
        return engine
