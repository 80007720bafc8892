"""selfedit: language models that write their own training data and learn from it."""

__version__ = "0.1.0"
