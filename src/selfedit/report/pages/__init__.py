"""L4. Pages of single runs."""
