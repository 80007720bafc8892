"""Wrong inputs of every kind. Whatever they hold, a command ends with exit code 0, 2 or 130, says one line where it
refuses, does not hang, writes nothing but its run folder, and leaves none behind that nothing came of."""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from selfedit.cli import open_run
from selfedit.report.document import html
from tests.support.commands import start_fake
from tests.support.faults.tally import IS_LONG, ONLY, Tally, told
from tests.support.fuzz.inputs import KINDS, Kind
from tests.support.fuzz.replies import REPLY_KINDS, SPEAKING
from tests.support.fuzz.sandbox import Sandbox

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
    found: dict[str, str] = {}
    count = iter(range(1_000_000))

    @seed(zlib.crc32(kind.name.encode()))
    @settings(
        max_examples=kind.share if IS_LONG or ONLY else _FEW,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        item = f"{kind.name}/{next(count)}"
        with sandbox.fresh(finished if kind.on_runs else None) as here:
            words = kind.build(data.draw, here)
            if ONLY not in ("", item):
                return
            said = sandbox.run(words)
            wrong = list(said.wrong)
            if said.code == 2 and not kind.on_runs and (here / "r").exists():
                wrong.append(f"a run folder is left behind: {said.err.strip()[-300:]}")
        told = tally.add(item, kind.name, wrong and [" ".join(words)[:300], *wrong], ended=f"exit {said.code}")
        if told:
            found.setdefault(wrong[0], told)

    attack()
    gc.collect()
    assert not found, told(found.values())
