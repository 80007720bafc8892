"""L4. Figures, each drawn from plain data by one function."""
