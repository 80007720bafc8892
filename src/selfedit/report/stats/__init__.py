"""L4. How sure the numbers are."""
