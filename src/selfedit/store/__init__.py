"""L1. What a run remembers: one SQLite ledger per run folder."""

from selfedit.store.adapters import AdapterFolders, adapter_in, is_adapter
from selfedit.store.ledger import Ledger, read_ledger

__all__ = ["AdapterFolders", "Ledger", "adapter_in", "is_adapter", "read_ledger"]
