"""L5. `selfedit doctor`: what is installed, what this machine can do, and what a run would take here and elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from selfedit.cli.data_estimates import examine_data
from selfedit.cli.demo import MINUTES
from selfedit.cli.estimates import GPUS, Device, Estimate, assumptions, estimate, estimate_run_seconds, said_length
from selfedit.cli.number_type import CLEARLY_FASTER, bfloat16_speedup, faster_type
from selfedit.cli.options import peek
from selfedit.cli.output import JsonCommand, Output, say
from selfedit.config import EMBEDDED_MODEL
from selfedit.errors import Field, SettingError
from selfedit.loop import TrainConfig
from selfedit.recipes import RECIPES
from selfedit.records import to_json
from selfedit.sizing import SHAPES, Shape
from selfedit.store.run_folder import code_version
from selfedit.tasks import find_task

_EMBEDDED_SHAPE = SHAPES["135M"]
_HEADS = {"at once": "at\nonce", "s a self-edit": "s a\nself-edit", "h a round": "h a\nround"}
_LEGEND = (
    "at once: trials trained together, 0 where not one fits. bank: their adapters with gradients and optimiser. pass:"
    " what layers keep for the backward pass. all: with libraries. full: full finetuning, and whether it fits."
)


@dataclass(frozen=True, kw_only=True)
class Doctor(JsonCommand):
    """What is installed, on which device, and what a run would take there and on other machines (estimates). It takes
    the flags of `train`; without --model, --recipe, --task, --config or --data: the paper's settings with models
    of three sizes. With --data it reads these, and measures on them what the run would take here."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""

    @classmethod
    def default_words(cls, words: Sequence[str]) -> Sequence[str]:
        """The words that defaults come from."""
        return words if _is_named(words) else [*words, "--recipe=paper"]

    def run(self, out: Output) -> None:
        """Looks at the machine, and estimates."""
        if find_task(self.settings.task).report != "contexts":
            why = f" {self.settings.task}: estimates are for passages; a first small run tells what that takes"
            raise SettingError(Field("task"), why)
        found, here = examine()
        estimates = estimate_all(self.settings, here, self.settings.model if _is_named(out.words) else "")
        data = self._data(here) if peek(out.words, "--data") else None
        if out.is_json:
            more = {} if data is None else {"data": data}
            out.data({**found, **more, "estimates": to_json(estimates), "assumptions": assumptions(self.settings)})
            return
        out.rows("selfedit doctor", found)
        if data is not None:
            paces = ", ".join(f"{what} {seconds:.2g} s" for what, seconds in data["seconds_of"].items())
            out.rows(f"{self.settings.task_args.data}, by this command's settings", {**data, "seconds_of": paces})
        print_estimates(estimates, self.settings, Console())

    def _data(self, here: Device | None) -> dict[str, Any]:
        """What the data hold and what a run on them takes here."""
        if here is None:
            raise SettingError(Field("data"), ": what a run takes is measured on the model, and torch cannot be loaded")
        say("doctor: reading the data, loading the model and measuring it on them")
        return examine_data(self.settings, known_shape(self.settings.model))


def _is_named(words: Sequence[str]) -> bool:
    return any(peek(words, name) for name in ("--model", "--recipe", "--config", "--task", "--data"))


def examine() -> tuple[dict[str, Any], Device | None]:
    """(what `doctor` says of this machine, this machine as a device; None where the engine cannot be loaded)."""
    found: dict[str, Any] = {"selfedit": code_version(), "python": sys.version.split()[0], "cores": os.cpu_count()}
    for name in ("torch", "transformers", "peft"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing: run make setup"
    try:
        found["ray"] = version("ray")
    except PackageNotFoundError:
        found["ray"] = "not installed; needed for --executor ray alone: pip install 'selfedit[ray]'"
    try:
        found["numba"] = f"{version('numba')}; texts of few rows are written by compiled steps (float32, int8)"
    except PackageNotFoundError:
        found["numba"] = "not installed; with it few texts at a time are written faster: pip install 'selfedit[fast]'"
    try:
        from selfedit.cache import cache_folder
        from selfedit.engine import measure_device
    except ImportError as error:
        return {**found, "engine": f"cannot be loaded ({error})"}, None
    model = cache_folder() / EMBEDDED_MODEL
    measured = measure_device()
    faster = bfloat16_speedup(measured)
    if faster >= CLEARLY_FASTER:
        found["hint"] = f"--dtype bfloat16 makes products {faster:.1f} times as fast here"
    here, demo = _this_machine(measured), RECIPES["demo"].model_copy(update={"dtype": faster_type(measured).dtype})
    return {
        **found,
        **measured,
        "embedded_model": str(model) if model.is_dir() else f"not fetched yet (selfedit setup puts it into {model})",
        "demo_minutes": min(MINUTES, round(estimate_run_seconds(_EMBEDDED_SHAPE, demo, here) / 60, 1)),
        "demo_memory_gb": round(estimate(EMBEDDED_MODEL, _EMBEDDED_SHAPE, demo, here).total_gb, 1),
    }, here


def estimate_all(config: TrainConfig, here: Device | None, model: str = "") -> list[Estimate]:
    """`config` with `model` (empty: with models of three sizes) here and on GPUs of two sizes. Nothing for a model that
    would have to be read where the engine cannot be loaded.

    Raises:
        SelfeditError: there is no such model, or it has no layers such as the config adapts.
    """
    if model and not here:
        return []
    devices = (*([here] if here else []), *GPUS)
    shapes = {model.rstrip("/").rpartition("/")[2]: known_shape(model)} if model else SHAPES
    return [estimate(name, shape, config, device) for name, shape in shapes.items() for device in devices]


def print_estimates(rows: Sequence[Estimate], config: TrainConfig, console: Console) -> None:
    """The estimates as a table, with what they rest on beneath."""
    table = Table(title=_title(config), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("on", no_wrap=True)
    for name in ("weights", "at once", "bank", "pass", "all", "s a self-edit", "h a round", "full"):
        table.add_column(_HEADS.get(name, f"{name}\nGB"), justify="right", no_wrap=True)
    for before, row in zip([None, *rows], rows, strict=False):
        if before and before.model != row.model:
            table.add_section()
        table.add_row(*_cells(row, is_first=not before or before.model != row.model))
    console.print()
    console.print(table)
    console.print(_LEGEND, style="dim")
    console.print(assumptions(config), style="dim")


def _title(config: TrainConfig) -> str:
    inner = config.inner
    how = "full finetuning" if inner.method == "full" else f"rank {inner.rank} on {inner.target_modules}"
    upper = f", upper {inner.top_layers:.0%} of the layers" if inner.top_layers < 1 else ""
    trials = f"{config.contexts} × {config.edits} × {config.seeds}"
    spread = f" on {config.workers} workers" if config.workers else ""
    return f"Estimated: a round of {trials} trials{spread}, {how}{upper}, {said_length(inner)}"


def _cells(row: Estimate, is_first: bool) -> list[str]:
    times = (row.seconds_per_self_edit, row.hours_per_round)
    digits = 1 if row.full_finetuning_gb < 100 else 0
    return [
        row.model if is_first else "",
        row.device,
        f"{row.weights_gb:.1f}",
        str(row.trials_at_once),
        f"{row.bank_gb:.1f}",
        f"{row.pass_gb:.1f}",
        f"{row.total_gb:.1f}",
        *(("does not", "fit") if not row.trials_at_once else map(_short, times)),
        f"{row.full_finetuning_gb:.{digits}f} {'yes' if row.is_full_finetuning_fitting else ' no'}",
    ]


def _short(value: float | None) -> str:
    """Two digits, which is more than an estimate knows."""
    if value is None:
        return "?"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _this_machine(measured: Mapping[str, float | str]) -> Device:
    kind = "cpu" if measured["device"] == "cpu" else "cuda"
    rates = {str(measured["dtype"]): float(measured["gflops"])}
    if "gflops_bfloat16" in measured:
        rates["bfloat16"] = float(measured["gflops_bfloat16"])
    return Device(f"this {'CPU' if kind == 'cpu' else 'GPU'}", kind, float(measured["free_gb"]) * 1e9, rates)


def known_shape(model: str) -> Shape:
    if model == EMBEDDED_MODEL:
        return _EMBEDDED_SHAPE
    from selfedit.engine.model.shapes import read_shape

    return read_shape(model)
