"""L3. Strategies against forgetting, each a frozen record that owns its numbers; in this order they change an update.

A package adds its own under the entry-point group `selfedit.strategies` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from selfedit.continual.learner import Chooses, Decides, Serves, Strategy
from selfedit.continual.strategies.distil import Distil
from selfedit.continual.strategies.gate import Gate
from selfedit.continual.strategies.regularise import Kl, NullSpaceStrategy, OrthogonalStrategy
from selfedit.continual.strategies.replay import Replay, SelfReplay
from selfedit.continual.strategies.reward_shaping import RewardShaping
from selfedit.continual.strategies.route import Route, serve_by_oracle
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.plugins import by_name, load_plugins

GROUP = "selfedit.strategies"
"""Entry points of further strategies; each names a strategy's class."""


@dataclass(frozen=True, slots=True)
class NoStrategy:
    """Every update merged, as published; goes with no other."""

    name: ClassVar[str] = "none"
    does: ClassVar[str] = "every update merged, as published"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False


STRATEGIES: Mapping[str, type[Any]] = {
    kind.name: kind
    for kind in (
        NoStrategy,
        Distil,
        Replay,
        SelfReplay,
        Kl,
        NullSpaceStrategy,
        OrthogonalStrategy,
        RewardShaping,
        Gate,
        Route,
    )
}
"""Those that come with the package, by name."""


@cache
def all_strategies() -> Mapping[str, type[Any]]:
    """Those that come with the package, then those of other packages.

    Raises:
        SelfeditError: an entry point that cannot be loaded, or is no strategy.
    """
    further: list[Any] = list(load_plugins(GROUP, type))
    for kind in further:
        if lacking := [name for name in Strategy.__annotations__ if not hasattr(kind, name)]:
            raise SelfeditError(f"{GROUP} {kind.__name__}: has no {lacking[0]}")
        if odd := [field.name for field in fields(kind) if type(field.default) not in (int, float)]:
            raise SelfeditError(f"{GROUP} {kind.name}: its {odd[0]} must be a number with a default")
    return by_name(GROUP, STRATEGIES, further)


def parse_row(row: str) -> tuple[Strategy, ...]:
    """The strategies of a row such as `replay:budget=16+kl`, in the order in which they act.

    Raises:
        SettingError: one is unknown, there twice, or has a number that cannot be; or two contradict each other.
    """
    found = [_parse(part.strip(), row) for part in row.split("+")]
    names = [one.name for one in found]
    for one in found:
        if names.count(one.name) > 1:
            raise SettingError(Field("strategy"), f" {row}: has {one.name} twice")
        if one.name == NoStrategy.name and len(names) > 1:
            raise SettingError(Field("strategy"), f" {row}: {one.name} goes with no other; leave it out")
        for other in one.excludes:
            if other in names:
                why = f" {row}: {one.name} and {other} contradict each other; choose one"
                raise SettingError(Field("strategy"), why)
    for hook in (Chooses, Decides, Serves):
        if len(several := [one.name for one in found if isinstance(one, hook)]) > 1:
            why = f" {row}: {several[0]} and {several[1]} decide the same thing; choose one"
            raise SettingError(Field("strategy"), why)
    order = list(all_strategies())
    return tuple(sorted(found, key=lambda one: order.index(one.name)))


def row_name(strategies: Sequence[Strategy]) -> str:
    """A row in words, numbers only where they are not the default: `replay:budget=16+kl`."""
    return "+".join(map(_spelled, strategies))


def _parse(part: str, row: str) -> Strategy:
    name, _, numbers = part.partition(":")
    if name not in all_strategies():
        known = ", ".join(all_strategies())
        raise SettingError(Field("strategy"), f" {name or row}: unknown; choose from {known}")
    kind = all_strategies()[name]
    defaults = {field.name: field.default for field in fields(kind)}
    values: dict[str, Any] = {}
    for pair in filter(None, numbers.split(":")):
        key, _, value = pair.partition("=")
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise SettingError(Field("strategy"), f" {part}: {name} has no number called {key}; it has {known}")
        values[key] = _number(part, key, value, defaults[key])
    strategy: Strategy = kind(**values)
    return strategy


def _number(part: str, key: str, value: str, default: Any) -> Any:
    """Of the kind that the default is; whole numbers from 1, fractions from 0."""
    try:
        number = type(default)(value)
    except ValueError:
        raise SettingError(Field("strategy"), f" {part}: {key} is no number") from None
    least = 1 if isinstance(default, int) else 0
    if not least <= number < float("inf"):
        raise SettingError(Field("strategy"), f" {part}: {key} must be at least {least}, not {value}")
    return number


def _spelled(strategy: Strategy) -> str:
    numbers = [
        f"{field.name}={getattr(strategy, field.name)!r}".removesuffix(".0")
        for field in fields(strategy)  # type: ignore[arg-type]  # strategies are dataclasses
        if getattr(strategy, field.name) != field.default
    ]
    return ":".join([strategy.name, *numbers])


__all__ = [
    "STRATEGIES",
    "Distil",
    "Gate",
    "Kl",
    "NoStrategy",
    "NullSpaceStrategy",
    "OrthogonalStrategy",
    "Replay",
    "RewardShaping",
    "Route",
    "SelfReplay",
    "all_strategies",
    "parse_row",
    "row_name",
    "serve_by_oracle",
]
