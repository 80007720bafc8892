"""L0. What other packages add: entry points, loaded and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from selfedit.errors import SelfeditError

T = TypeVar("T")


class Named(Protocol):
    """What is found by its name."""

    @property
    def name(self) -> str:
        """As chosen by a run."""
        ...


N = TypeVar("N", bound=Named)


def by_name(group: str, own: Mapping[str, N], further: Sequence[N]) -> dict[str, N]:
    """Those that come with the package, then those of other packages.

    Raises:
        SelfeditError: a name is taken.
    """
    found = dict(own)
    for one in further:
        if one.name in found:
            raise SelfeditError(f"{group} {one.name}: there is one of this name already; rename it, or take one away")
        found[one.name] = one
    return found


def load_plugins(group: str, kind: type[T]) -> list[T]:
    """What the entry points of `group` name, in the order of their names.

    Raises:
        SelfeditError: one cannot be loaded, or names something else than a `kind`.
    """
    found = []
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        named = f"{group} {entry.name} ({entry.value})"
        try:
            plugin = entry.load()
        except Exception as error:
            raise SelfeditError(f"{named}: cannot be loaded ({error})") from error
        if not isinstance(plugin, kind):
            raise SelfeditError(f"{named}: is a {type(plugin).__name__}, not a {kind.__name__}")
        found.append(plugin)
    return found
