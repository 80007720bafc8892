"""L1. What a run remembers: one SQLite ledger per run folder."""

from selfedit.store.adapters import AdapterFolders
from selfedit.store.ledger import Ledger, read_ledger

__all__ = ["AdapterFolders", "Ledger", "read_ledger"]
