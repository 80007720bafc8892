"""Commands that write, each with what must be there before and with what it comes to when nothing interrupts it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.faults.checks import State, complaints, rows, state_of
from tests.support.faults.runner import Ended, Job, Runner
from tests.support.tiny import save_tiny

_SMALL = "--recipe embedded --contexts 2 --heldout 1 --min-gain -9"
_TRAIN = f"train {_SMALL} --rounds 2 --edits 2 --seeds 1 --run t --json"
_EVAL = "eval --methods base,passage,synthetic,seal --policy t --contexts 2 --n-edits 1 --run e --json"
_CONTINUAL = "continual --recipe embedded --strategy none,gate,route --contexts 2 --sequences 1 --run c --json"
_LEARN = "learn DOCS --library notes --json"
_PUZZLES = "--task arc --data 6150a2bd,d037b0a7 --heldout-data a85d4709"


@dataclass(frozen=True, slots=True)
class Scene:
    """One command."""

    name: str
    words: str
    before: tuple[str, ...] = ()
    """Commands that make what it starts from."""


CHANGE_ROWS = ("forget", "learn-again")
"""Scenes that take rows away, or put others in their place."""
FAKE_SCENES = (
    Scene("train", _TRAIN),
    Scene("train-racing", _TRAIN.replace("--seeds 1", "--seeds 2 --racing --reward both")),
    Scene("eval", _EVAL, (_TRAIN,)),
    Scene("eval-cpt", _EVAL.replace("--n-edits", "--setting cpt --n-edits"), (_TRAIN,)),
    Scene("continual", _CONTINUAL),
    Scene("report", "report e --json", (_TRAIN, _EVAL, "break-report")),
    Scene("report-continual", "report c --json", (_CONTINUAL, "break-report")),
    Scene("grade", "grade e --grader exact --json", (_TRAIN, _EVAL)),
    Scene("restore", "versions c --restore none/0/2 --to copy/of --json", (_CONTINUAL,)),
    Scene("solve", "solve 6150a2bd --edits 2 --submission answers.json --run s --json"),
    Scene("puzzles-train", f"train {_PUZZLES} --contexts 2 --edits 2 --heldout 1 --min-gain -9 --run t --json"),
    Scene("reproduce", "reproduce figure5 --run p --json"),
    Scene("learn", _LEARN),
    Scene("learn-again", _LEARN, (_LEARN, "edit-documents")),
    Scene("forget", "forget ferry.md --library notes --json", (_LEARN,)),
    Scene("consolidate", "library consolidate --library notes --json", (_LEARN,)),
)
"""On fakes; the parts that write are the product's own, but for a real adapter's tensors."""


_ON_TINY = (
    "--recipe embedded --model MODEL --data passages.jsonl --bank 2 --sampling.max-new-tokens 8 --inner.epochs 1 "
    "--inner.rank 2 --json"
)
_TRAIN_TINY = (
    f"train {_ON_TINY} --rounds 2 --contexts 2 --edits 2 --heldout 1 --min-gain -99 --outer.epochs 1 --outer.rank 2"
    " --run t"
)
_CONTINUAL_TINY = f"continual {_ON_TINY} --strategy none,route --contexts 2 --sequences 1 --probe probe.jsonl --run c"
TINY_SCENES = (
    Scene("tiny-train", _TRAIN_TINY),
    Scene("tiny-eval", f"eval {_ON_TINY} --methods base,seal --policy t --contexts 1 --run e", (_TRAIN_TINY,)),
    Scene("tiny-continual", _CONTINUAL_TINY),
    Scene("tiny-restore", "versions c --restore none/0/2 --to copy/of", (_CONTINUAL_TINY,)),
)
"""On a tiny random model: real adapters, written by the library that writes them."""


def tiny_model(folder: Path) -> Path:
    """The folder of a random Llama of two layers, with room for a prompt."""
    save_tiny(folder, "llama", chat=True)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_position_embeddings": 4096}))
    return folder


def write_inputs(folder: Path) -> None:
    """Short passages and a short probe, in byte-level tokens."""
    rows = [
        {
            "id": f"p{n}",
            "title": f"P{n}",
            "context": f"P{n} is high.",
            "questions": [{"question": "P?", "answer": "up"}, {"question": "Q?", "answer": "no"}],
        }
        for n in range(4)
    ]
    probe = [{"question": "What?", "answer": "that"}, {"title": "A", "text": "A b c."}]
    for name, lines in (("passages.jsonl", rows), ("probe.jsonl", probe)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_documents(folder: Path, year: int = 1911) -> None:
    """Three short ones."""
    folder.mkdir(exist_ok=True)
    texts = {
        "bridge.md": f"The bridge was built by Vera Holt in {year}. Tom Brandt widened it for the trams of Orlemont.",
        "ferry.md": "The ferry Albatross crosses the sound in 35 minutes. Captain Ida Lunt has steered it since 2003.",
        "mill.md": "The tide mill grinds rye on every ebb. The miller Jonna Reed rebuilt its wheel from larch in 1962.",
    }
    for name, text in texts.items():
        (folder / name).write_text(f"# {name.removesuffix('.md')}\n\n{text} It is well known in Sennport.\n" * 2)


@dataclass(frozen=True, slots=True)
class Stage:
    """A scene that has been played once without a fault."""

    scene: Scene
    runner: Runner
    """Plays its command."""
    words: list[str]
    """The command."""
    template: Path
    """What the command starts from; copied for each item."""
    whole: State
    records: frozenset[str]
    points: int
    seconds: float


def play(scene: Scene, runner: Runner, folder: Path) -> Stage:
    """The scene without a fault."""
    template, whole = folder / "template", folder / "whole"
    template.mkdir(parents=True)
    write_documents(folder / "docs")
    if runner.engine != "fake":
        write_inputs(template)
    for words in scene.before:
        if words == "break-report":
            _remove_reports(template)
            continue
        if words == "edit-documents":
            write_documents(folder / "docs", year=1912)
            (folder / "docs" / "ferry.md").unlink()
            continue
        ended = runner.run(Job(_spelt(words, runner, folder), template))
        assert not ended.code, f"{words}: {ended.err[-2000:]}"
    shutil.copytree(template, whole)
    words = _spelt(scene.words, runner, folder)
    ended = runner.run(Job(words, whole))
    assert not ended.code, f"{scene.words}: {ended.err[-2000:]}"
    records, passed = frozenset(rows(whole)), ended.passed
    return Stage(scene, runner, words, template, state_of(whole), records, passed.points, ended.seconds)


def resume(stage: Stage, folder: Path) -> list[str]:
    """The command once more without a fault: what is otherwise than in the run that nothing interrupted."""
    kept = rows(folder)
    ended = stage.runner.run(Job(stage.words, folder))
    found = stage.whole.differences(state_of(folder))
    if not was_done(stage, ended):
        found += complaints(ended.code, ended.err, (0,))
    lost = kept - rows(folder) if stage.scene.name not in ("grade", *CHANGE_ROWS) else set()
    return found + [f"lost: {row[:200]}" for row in sorted(lost)[:3]]


def was_done(stage: Stage, ended: Ended) -> bool:
    """Whether it was refused because an earlier call had come to its end: what it makes is there."""
    if stage.scene.name == "forget":
        return ended.code == 2 and "knows no such document" in ended.err
    return "--to" in stage.words and ended.code == 2 and "is there already" in ended.err


@contextmanager
def copied(stage: Stage, folder: Path) -> Iterator[Path]:
    """`folder`, with what the command starts from, while the block lasts."""
    shutil.copytree(stage.template, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _remove_reports(folder: Path) -> None:
    for path in [*folder.rglob("figures"), *folder.rglob("report.*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _spelt(words: str, runner: Runner, folder: Path) -> list[str]:
    """Documents lie outside of what is copied: a library knows them by where they lie."""
    return [word.replace("MODEL", runner.engine).replace("DOCS", str(folder / "docs")) for word in words.split()]
