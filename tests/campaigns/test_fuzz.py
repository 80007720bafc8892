"""Wrong inputs of every kind. Whatever they hold, a command ends with exit code 0, 2 or 130, says one line where it
refuses, does not hang, writes nothing but its run folder, and leaves none behind that nothing came of."""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from selfedit.cli import open_run
from selfedit.report.document import html
from tests.support.commands import start_fake
from tests.support.faults.scenes import tiny_model, write_inputs
from tests.support.faults.tally import IS_LONG, ONLY, Tally, told
from tests.support.fuzz.folders import (
    ADAPTER_FILES,
    MODEL_FILES,
    changed_file,
    copied,
    read_adapter,
    run_model,
    tiny_adapter,
)
from tests.support.fuzz.inputs import KINDS, Kind
from tests.support.fuzz.replies import REPLY_KINDS, SPEAKING
from tests.support.fuzz.sandbox import Sandbox, in_a_child

pytestmark = pytest.mark.slow

_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"></svg>'
_FEW = 8
"""Inputs of each kind in the short form."""
_RUNS = (
    "train --recipe embedded --rounds 1 --contexts 2 --edits 2 --seeds 1 --heldout 1 --min-gain -9 --run t",
    "eval --methods base,synthetic,seal --policy t --contexts 1 --n-edits 1 --run e",
)


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """What came of it."""
    counted = Tally("fuzz")
    yield counted
    counted.write()


@pytest.fixture(scope="module")
def sandbox(home: Path) -> Sandbox:
    """Where commands run."""
    return Sandbox(home / "sandbox")


@pytest.fixture(scope="module", autouse=True)
def _fakes(home: Path) -> Iterator[None]:
    """Commands run on fakes, draw no figures, ask no hub, and keep replies in the sandbox."""
    import_module("selfedit.engine")  # what loading torch writes is not a command's
    patch = pytest.MonkeyPatch()
    patch.setattr(open_run, "start_engine", start_fake)
    patch.setattr(open_run, "code_version", lambda: "campaign")
    patch.setattr(html, "_render", lambda figure, form: _SVG if form == "svg" else b"PNG")
    patch.setenv("SELFEDIT_CACHE", str(home / "sandbox" / "cache"))
    patch.setenv("SELFEDIT_API_KEY", "")
    patch.setenv("HF_HUB_OFFLINE", "1")
    with SPEAKING.on():
        yield
    patch.undo()


@pytest.fixture(scope="module")
def finished(home: Path, sandbox: Sandbox) -> Path:
    """A folder with a finished training and an evaluation of it."""
    folder = home / "sandbox" / "finished"
    folder.mkdir(parents=True)
    before = os.getcwd()
    os.chdir(folder)
    (folder / "victim").write_text("precious")
    for words in _RUNS:
        said = sandbox.run(words.split())
        assert said.code == 0, said.err
    os.chdir(before)
    return folder


@pytest.mark.parametrize("kind", [*KINDS, *REPLY_KINDS], ids=lambda kind: kind.name)
def test_no_input_ends_in_a_traceback_a_hang_or_something_half_written(
    kind: Kind, sandbox: Sandbox, finished: Path, tally: Tally
) -> None:
    def attack(item: str, draw: st.DrawFn) -> tuple[list[str], str]:
        with sandbox.fresh(finished if kind.on_runs else None) as here:
            words = kind.build(draw, here)
            if ONLY not in ("", item):
                return [], ""
            said = sandbox.run(words)
            wrong = list(said.wrong)
            if said.code == 2 and not kind.on_runs and (here / "r").exists():
                wrong.append(f"a run folder is left behind: {said.err.strip()[-300:]}")
        return wrong and [*wrong, " ".join(words)[:300]], f"exit {said.code}"

    found = _attacks(kind.name, kind.share, tally, attack)
    assert not found, told(found)


@pytest.mark.parametrize(("name", "share"), [("model-folder", 300), ("adapter-folder", 400)])
def test_no_folder_from_elsewhere_ends_in_a_traceback_or_a_hang(
    name: str, share: int, home: Path, sandbox: Sandbox, tally: Tally, outside: dict[str, Path]
) -> None:
    def attack(item: str, draw: st.DrawFn) -> tuple[list[str], str]:
        with sandbox.fresh() as here:
            folder = copied(outside[name], here / "outside")
            changed = changed_file(draw, folder, MODEL_FILES if name == "model-folder" else ADAPTER_FILES)
            if ONLY not in ("", item):
                return [], ""
            write_inputs(here)
            work = partial(run_model if name == "model-folder" else read_adapter, sandbox, folder)
            wrong = in_a_child(work, seconds=120, most_bytes=12 << 30)
        return wrong and [*wrong, changed], ""

    found = _attacks(name, share, tally, attack)
    assert not found, told(found)


@pytest.fixture(scope="module")
def outside(home: Path) -> dict[str, Path]:
    """A model and an adapter from elsewhere."""
    model = tiny_model(home / "model")
    return {"model-folder": model, "adapter-folder": tiny_adapter(model, home / "adapter")}


def _attacks(
    name: str, share: int, tally: Tally, attack: Callable[[str, st.DrawFn], tuple[list[str], str]]
) -> list[str]:
    """So many inputs of a kind; what was found, one of each sort."""
    found: dict[str, str] = {}
    count = iter(range(1_000_000))

    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=share if IS_LONG or ONLY else _FEW,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        item = f"{name}/{next(count)}"
        wrong, ended = attack(item, data.draw)
        if told := tally.add(item, name, wrong, ended=ended):
            found.setdefault(wrong[0], told)

    one()
    gc.collect()
    return list(found.values())
