"""L4. What directives chose, by who wrote them; of a round also those of its self-edits that train the next policy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from selfedit.records import Edit
from selfedit.report import wording
from selfedit.report.document import Plate
from selfedit.report.look import BLUE, GREEN, GREY, MUTED, ORANGE, SKY, VERMILION, WIDTH, bare
from selfedit.report.parts import Part

SETTINGS = ("learning_rate", "num_train_epochs", "rank", "views", "strategy", "augmentations")
"""What directives choose."""
KEPT = ", kept"
"""After a round's name: those of its self-edits that train the next policy."""
LETTERS_ABREAST = 34
"""Of tick labels that stand side by side in half a figure."""


def choices_of(part: Part) -> dict[str, dict[str, dict[str, int]]]:
    """Stage → setting → value → how often it was chosen; after a round, those of its self-edits that were kept."""
    found = {}
    groups = dict(part.edits)
    for stage, scored in part.scored.items():
        keys = {one.edit_key for one in scored if one.is_kept}
        groups[stage + KEPT] = [edit for edit in part.edits.get(stage, ()) if edit.key in keys]
    for stage, edits in groups.items():
        if not edits:
            continue
        counts: dict[str, Counter[str]] = {name: Counter() for name in SETTINGS}
        for edit in edits:
            for name, value in _settings(edit).items():
                counts[name][value] += 1
        found[stage] = {name: dict(sorted(values.items())) for name, values in counts.items() if values}
    return found


def _settings(edit: Edit) -> dict[str, str]:
    """What valid directives choose; nothing of invalid ones."""
    if edit.invalid:
        return {}
    try:
        value = json.loads(edit.text)
        flags = value["data_generation"]
        chosen = {name: f"{value['training'][name]}" for name in SETTINGS[:-1] if name in value["training"]}
    except (ValueError, KeyError, TypeError):
        return {}
    chosen["strategy"] = "all tokens" if chosen.get("strategy") == "train_using_all_tokens" else "output tokens"
    names = [name.split("_")[1] for name, is_on in flags.items() if is_on]
    return chosen | {"augmentations": "+".join(names) or "none"}


def choice_plates(part: Part, chosen: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[Plate]:
    """The figure of what `choices_of` counted; none where nothing valid was written."""
    stages = sorted((stage for stage in chosen if chosen[stage]), key=_by_version)
    if not stages:
        return []
    caption = f"{part.name}: what directives chose, by who wrote them: the share of self-edits with each value."
    if any(stage.endswith(KEPT) for stage in stages):
        caption += " Kept: those that train the next policy."
    return [Plate(f"directives-{part.name}", _figure(stages, chosen), caption)]


def _figure(stages: Sequence[str], chosen: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Figure:
    names = [name for name in SETTINGS if any(name in chosen[stage] for stage in stages)]
    figure = Figure(figsize=(WIDTH + 1, 2.1 * ((len(names) + 1) // 2) + 0.5))
    panels = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).flatten()
    palette = (GREY, BLUE, VERMILION, GREEN, ORANGE, SKY)
    for axes, name in zip(panels, names, strict=False):
        values = sorted({value for stage in stages for value in chosen[stage].get(name, {})}, key=_by_size)
        for place, stage in enumerate(stages):
            counts = chosen[stage].get(name, {})
            total = sum(counts.values()) or 1
            step = 0.8 / len(stages)
            heights = [100 * counts.get(value, 0) / total for value in values]
            places = [x - 0.4 + step * (place + 0.5) for x in range(len(values))]
            label = _series_label(stage) if name == names[0] else None
            axes.bar(places, heights, step, color=palette[place % len(palette)], label=label)
        axes.set_xticks(range(len(values)), values, fontsize=8)
        if sum(map(len, values)) > LETTERS_ABREAST:
            axes.set_xticklabels(values, rotation=30, ha="right")
        axes.set_title(f"{name.replace('_', ' ')}, %", color=MUTED)
        bare(axes, "y")
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _series_label(stage: str) -> str:
    return wording.stage_label(stage.removesuffix(KEPT)) + (KEPT if stage.endswith(KEPT) else "")


def _by_version(stage: str) -> tuple[int, bool, str]:
    """A round before the policy that it trains."""
    number = wording.stage_number(stage.removesuffix(KEPT)) or 0
    return number, stage.startswith("eval-"), stage


def _by_size(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return 0.0, value
