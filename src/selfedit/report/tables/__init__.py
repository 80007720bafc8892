"""L4. The ledger as rows, without a word on how they are shown."""
