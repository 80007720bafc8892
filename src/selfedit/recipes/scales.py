"""L4. How much of a protocol `selfedit reproduce` runs, and who has scales of their own."""

from __future__ import annotations

from selfedit.errors import Field, SettingError

SCALES = ("smoke", "small", "paper")
"""Those that every name has."""
OWN_SCALES: dict[str, tuple[str, ...]] = {"medium": ("house-rules",), "full": ("house-rules",)}
"""Further ones, with the names that have them."""


def check_scale(scale: str, name: str) -> None:
    """Refuses a scale that `name` does not have.

    Raises:
        SettingError: it is another name's.
    """
    if name not in OWN_SCALES.get(scale, (name,)):
        raise SettingError(Field("scale"), f" {scale}: {name} has none; choose from {', '.join(SCALES)}")
