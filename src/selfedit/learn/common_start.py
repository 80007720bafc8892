"""L3. What all arms of an experiment lie on: an adapter that is made once, or that another run has made; and versions
without which an experiment cannot go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop.runtime import Runtime
from selfedit.protocols import Engine
from selfedit.records import Policy, Update, UpdateResult, WarmUp
from selfedit.store.adapters import adapter_in, is_adapter


def trained(engine: Engine, updates: Sequence[Update]) -> list[UpdateResult]:
    """All of these versions, made side by side.

    Raises:
        SelfeditError: one could not be trained.
    """
    results = [one for done in engine.update([updates]) for one in done.results]
    for update, result in zip(updates, results, strict=True):
        if result.failure or not all(map(math.isfinite, result.losses)):
            raise SelfeditError(f"{update.folder} could not be trained: {result.failure or 'its loss is not finite'}")
    return results


def check_given(field: str, folder: str) -> None:
    """Refuses an adapter that is not there; an empty folder names none.

    Raises:
        SettingError: no adapter lies where `field` says.
    """
    if folder and not is_adapter(folder):
        raise SettingError(Field(field), f" {folder}: no adapter lies there; run what makes it first")


def common_start(runtime: Runtime, field: str, folder: str, update: Callable[[], Update]) -> Policy:
    """The adapter that all arms share: that in `folder`, else the run's own, made where it is not there yet.

    Args:
        field: the setting that names the folder.
        update: what makes it; asked for only then.

    Raises:
        SelfeditError: it is not there, could not be trained, or is another one than was recorded.
    """
    check_given(field, folder)
    if folder:
        return adapter_in(folder)
    known = runtime.ledger.warm_up()
    if known and runtime.has_adapter(known.policy):
        return known.policy
    wanted, started = update(), time.monotonic()
    runtime.progress.stage("the adapter that all arms share: training", 1)
    [result] = trained(runtime.writer, [wanted])
    runtime.progress.advance()
    seconds = time.monotonic() - started
    made = WarmUp(result.policies[0], 0, len(wanted.examples), result.losses, result.steps, result.tokens, seconds)
    if known:
        runtime.check_same([known.policy], [made.policy])
    runtime.ledger.add_warm_up(made)
    return made.policy
