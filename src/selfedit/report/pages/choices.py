"""L4. What self-edits chose: directives of puzzles and of study plans, counted by who wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from selfedit.edits import read_plan
from selfedit.edits.plans import SETTINGS
from selfedit.errors import InvalidEdit
from selfedit.records import SelfEdit, Stage
from selfedit.report import format as fmt
from selfedit.report.blocks import Figure
from selfedit.report.figures import puzzles as puzzle_figures
from selfedit.report.run_data import RunData

KEPT = ", kept"
"""Behind a round's name: those of its self-edits that train the next policy."""
Group = tuple[Stage, bool]
"""Who wrote; whether only those self-edits of a round are meant that train the next policy."""
Counts = dict[str, dict[str, int]]
"""Setting → value → how often it was chosen."""


def choices(run: RunData, names: Sequence[str], read: Callable[[SelfEdit], Mapping[str, str]]) -> dict[Group, Counts]:
    """What self-edits chose, by who wrote them, each policy behind the round that trains it. `names`: the settings, in
    order; `read`: what one self-edit chose, by setting; nothing where it is invalid."""
    groups: dict[Group, Sequence[SelfEdit]] = {(stage, False): edits for stage, edits in run.edits.items()}
    for stage, scored in run.scored.items():
        keys = {one.edit_key for one in scored if one.is_kept}
        groups[stage, True] = [edit for edit in run.edits.get(stage, ()) if edit.key in keys]
    found = {}
    for stage, is_kept in sorted(groups, key=lambda group: (fmt.run_order(group[0]), group[1])):
        if not groups[stage, is_kept]:
            continue
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        for edit in groups[stage, is_kept]:
            for name, value in read(edit).items():
                counts[name][value] += 1
        found[stage, is_kept] = {name: dict(sorted(values.items())) for name, values in counts.items() if values}
    return found


def choices_data(groups: Mapping[Group, Counts]) -> dict[str, Counts]:
    """The same by names, for JSON."""
    return {f"{stage}{KEPT if is_kept else ''}": counts for (stage, is_kept), counts in groups.items()}


def choices_figure(name: str, groups: Mapping[Group, Counts]) -> Figure:
    """The same as a figure; `name` is the run's."""
    series = {
        f"{fmt.stage_label(stage)}{KEPT if is_kept else ''}": counts
        for (stage, is_kept), counts in groups.items()
        if counts
    }
    caption = f"{name}: what directives chose, by who wrote them: the share of self-edits with each value."
    if any(is_kept and one for (_, is_kept), one in groups.items()):
        caption += " Kept: those that train the next policy."
    return Figure(f"directives-{name}", lambda: puzzle_figures.directives(series), caption)


def plan_choices(run: RunData) -> dict[Group, Counts]:
    """What study plans chose; nothing of who wrote none."""
    return {group: counts for group, counts in choices(run, SETTINGS, _plan_settings).items() if counts}


def _plan_settings(edit: SelfEdit) -> dict[str, str]:
    if edit.invalid:
        return {}
    try:
        plan = read_plan(edit.text)
    except InvalidEdit:
        return {}
    return {name: f"{getattr(plan, name)}" for name in SETTINGS}
