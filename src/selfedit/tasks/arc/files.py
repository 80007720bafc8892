"""L2. Puzzle files as people have them: one puzzle, many by id, with their solutions beside them, or a folder of these.

ARC's task files are read, Kaggle's challenges (with the solutions that lie beside them), lists of puzzles with ids, and
folders of any of these: ConceptARC's with a folder for each concept, Kaggle's with everything in one. What a folder
holds besides is counted aloud. A file that means to be a puzzle and is none is refused by its place, for a submission
that lacks a puzzle is worth nothing.

A puzzle's id is the name that it has in its file, or the file's. It is data: nothing is read out of it, and no file is
called after it as it stands (`store.run_folder.file_name`).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.json_places import JsonFault, line_of, only_value
from selfedit.jsonl import is_encodable, read_text
from selfedit.records import Context
from selfedit.tasks.arc.contexts import context_of, demos_of, has_answers, is_same_puzzle, tests_of
from selfedit.tasks.arc.grids import COLOURS, MAX_SIDE, Grid, Pair, grid_of

_LOG = logging.getLogger("selfedit")
_ID_FIELDS = ("id", "task_id")
"""How the puzzles of a list say what they are called."""
MAX_FILES = 20_000
"""JSON files of a folder; one that holds more is not meant."""


def load_file(path: Path) -> list[Context]:
    """The puzzles of one file that somebody has named.

    Raises:
        SelfeditError: it holds none, or one that cannot be used; by file and place.
    """
    value = read_json(path)
    kind = _kind_of(value)
    if kind in ("solutions", "submission"):
        what = "solutions" if kind == "solutions" else "the attempts of a submission"
        raise SelfeditError(f"{path}: holds {what} and no puzzles; name the file of challenges")
    if not kind:
        raise SelfeditError(f"{path}: neither a puzzle (train, test) nor puzzles by id")
    return _puzzles_of(path, value, kind)


def load_folder(folder: Path) -> list[Context]:
    """The puzzles of all files in a folder and below, in the order of their paths. The same puzzle in several files is
    taken once, with its answers where one of them has these.

    Raises:
        SelfeditError: there are none; one that cannot be used; different puzzles of one id in files of many.
    """
    files, odd, hidden = _json_files(folder)
    read = [(path, value, _kind_of(value)) for path in files for value in [read_json(path)]]
    puzzles = [(path, one) for path, value, kind in read if kind in _PUZZLES for one in _puzzles_of(path, value, kind)]
    single = {path for path, _, kind in read if kind == "puzzle"}
    found, repeated = _merged(_with_paths(folder, puzzles, single))
    solutions = {_solutions_path(path) for path, _, kind in read if kind == "puzzles"}
    others = odd + [path for path, _, kind in read if kind not in _PUZZLES and path not in solutions]
    told = _left_out(folder, others, hidden, repeated)
    if not found:
        what = f"holds no puzzles ({told})" if told else "holds no JSON files"
        raise SelfeditError(f"{folder}: {what}; give a folder of puzzles")
    if told:
        _LOG.warning("%s: %s", folder, told)
    return found


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        SelfeditError: it cannot be read, is no JSON (by its line), ends too early, or has a name twice in one object.
    """
    text = read_text(path)
    if not text.strip():
        raise SelfeditError(f"{path}: is empty; give a puzzle in ARC's format")
    try:
        return only_value(text, has_numbers=True).value
    except JsonFault as fault:
        told = f"{path}:{line_of(text, fault.offset)}: {fault.told(text)}"
        raise SelfeditError(f"{told}; give a puzzle in ARC's format") from None


_PUZZLES = ("puzzle", "puzzles", "list")


def _kind_of(value: Any) -> str:
    """`puzzle`, `puzzles` (by id), `list` (of puzzles), `solutions` or `submission` (by id); empty: something else."""
    if isinstance(value, list):
        return "list" if value and all(map(_is_like_a_puzzle, value)) else ""
    if not isinstance(value, dict) or not value:
        return ""
    if _is_like_a_puzzle(value):
        return "puzzle"
    ones = list(value.values())
    if all(isinstance(one, dict) for one in ones):
        return "puzzles" if any(map(_is_like_a_puzzle, ones)) else ""
    if not all(isinstance(one, list) and one for one in ones):
        return "puzzles" if any(map(_is_like_a_puzzle, ones)) else ""
    items = [item for one in ones for item in one]
    if all(isinstance(item, dict) and "attempt_1" in item for item in items):
        return "submission"
    return "solutions" if all(isinstance(item, list) for item in items) else ""


def _is_like_a_puzzle(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(name), list) for name in ("train", "test"))


def _puzzles_of(path: Path, value: Any, kind: str) -> list[Context]:
    if kind == "puzzle":
        return [_read_puzzle(str(path), path.stem, value)]
    if kind == "list":
        return list(_listed(path, value))
    solutions = _read_solutions(path, value)
    return [_read_puzzle(f"{path}: {name}", name, one, solutions.get(name)) for name, one in value.items()]


def _listed(path: Path, value: Sequence[Mapping[str, Any]]) -> Iterator[Context]:
    seen: set[str] = set()
    for number, one in enumerate(value):
        given = next((one[field] for field in _ID_FIELDS if field in one), None)
        if not isinstance(given, str | int) or isinstance(given, bool):
            raise SelfeditError(f"{path}: [{number}]: no 'id'; give each puzzle of a list its name")
        name = str(given)
        if name in seen:
            raise SelfeditError(f"{path}: [{number}]: puzzle {name} is there already; leave one out")
        seen.add(name)
        yield _read_puzzle(f"{path}: [{number}]", name, one)


@dataclass(frozen=True, slots=True)
class _Solution:
    """The outputs of one puzzle."""

    place: str
    """Where they stand."""
    outputs: Sequence[Any]
    """One for each test input, as read."""


def _solutions_path(path: Path) -> Path:
    """Where Kaggle has the solutions of a file of challenges."""
    return path.with_name(path.name.replace("challenges", "solutions"))


def _read_solutions(path: Path, challenges: Mapping[str, Any]) -> dict[str, _Solution]:
    """By puzzle; those that lie beside the challenges.

    Raises:
        SelfeditError: they cannot be used, or are of other puzzles altogether.
    """
    beside = _solutions_path(path)
    if beside == path or not beside.is_file():
        return {}
    value = read_json(beside)
    if not isinstance(value, dict) or not all(isinstance(outputs, list) for outputs in value.values()):
        raise SelfeditError(f"{beside}: no lists of outputs by puzzle; mend it or move it away")
    lacking = [name for name in challenges if name not in value]
    further = [name for name in value if name not in challenges]
    if len(lacking) == len(challenges):
        raise SelfeditError(f"{beside}: has none of the puzzles of {path.name}; move it away")
    if lacking:
        _LOG.warning("%s: lacks %d of %d puzzles, such as %s: ungraded", beside, *_some(lacking, challenges))
    if further:
        _LOG.warning("%s: %d of %d puzzles, such as %s, are not in %s", beside, *_some(further, value), path.name)
    return {name: _Solution(f"{beside}: {name}", outputs) for name, outputs in value.items()}


def _some(names: Sequence[str], all_names: Iterable[str]) -> tuple[int, int, str]:
    return len(names), len(list(all_names)), names[0]


def _read_puzzle(place: str, name: str, value: Any, solution: _Solution | None = None) -> Context:
    _check_id(place, name)
    if not isinstance(value, dict):
        raise SelfeditError(f"{place}: no puzzle; give an object with 'train' and 'test'")
    demos = [_read_pair(where, item, True) for where, item in _items(place, value, "train")]
    tests = [_read_pair(where, item, False) for where, item in _items(place, value, "test")]
    return context_of(name, demos, _solved(tests, solution) if solution else tests)


def _solved(tests: Sequence[Pair], solution: _Solution) -> list[Pair]:
    """With the outputs that the solutions have."""
    outputs = [_read_grid(f"{solution.place}[{number}]", output) for number, output in enumerate(solution.outputs)]
    if len(outputs) != len(tests):
        found = f"{len(outputs)} outputs for {len(tests)} test inputs"
        raise SelfeditError(f"{solution.place}: {found}; give one for each, or move the file away")
    if [number for number, pair in enumerate(tests) if pair.output and pair.output != outputs[number]]:
        raise SelfeditError(f"{solution.place}: is not what the challenges have for it; leave one out")
    return [replace(pair, output=output) for pair, output in zip(tests, outputs, strict=True)]


def _check_id(place: str, name: str) -> None:
    if not name.strip():
        raise SelfeditError(f"{place}: the puzzle has an empty id; give it a name")
    if not is_encodable(name):
        raise SelfeditError(f"{place}: the puzzle's id is not valid text; rename it")


def _items(place: str, value: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    items = value.get(key)
    if not isinstance(items, list) or not items:
        raise SelfeditError(f"{place}: no {key!r} pairs; give at least one")
    return [(f"{place}: {key}[{number}]", item) for number, item in enumerate(items)]


def _read_pair(place: str, item: Any, is_output_needed: bool) -> Pair:
    if not isinstance(item, dict) or "input" not in item or (is_output_needed and "output" not in item):
        wanted = "'input' and 'output'" if is_output_needed else "'input'"
        raise SelfeditError(f"{place}: no object with {wanted}")
    shown = _read_grid(f"{place}.input", item["input"])
    is_unknown = not is_output_needed and item.get("output") in (None, [])
    return Pair(shown, () if is_unknown else _read_grid(f"{place}.output", item["output"]))


def _read_grid(place: str, value: Any) -> Grid:
    rows = [list(map(_colour, row)) if isinstance(row, list) else row for row in value] if _is_list(value) else value
    grid = grid_of(rows)
    if grid is None:
        wanted = f"give 1 to {MAX_SIDE} rows of equal length of numbers 0 to {COLOURS - 1}"
        raise SelfeditError(f"{place}: no grid ({_fault(rows)}); {wanted}")
    return grid


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _colour(cell: Any) -> Any:
    """A whole number that somebody's tool has written with a point."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _fault(rows: Any) -> str:
    """What keeps these rows from being a grid."""
    if not isinstance(rows, list) or not rows:
        return "no rows"
    odd = next((number for number, row in enumerate(rows) if not isinstance(row, list) or not row), None)
    if odd is not None:
        return f"[{odd}] is no row"
    if max(len(rows), len(rows[0])) > MAX_SIDE:
        return f"{len(rows)} rows of {len(rows[0])}"
    other = next((number for number, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if other is not None:
        return f"[{other}] has {len(rows[other])} cells and [0] has {len(rows[0])}"
    cells = ((r, c, cell) for r, row in enumerate(rows) for c, cell in enumerate(row))
    r, c, cell = next((r, c, cell) for r, c, cell in cells if grid_of([[cell]]) is None)
    return f"[{r}][{c}] is {json.dumps(cell)[:20]}"


def _json_files(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """(files, what cannot be read as one, hidden ones) with JSON's ending in a folder and below, by path. Links are
    followed, each folder once.

    Raises:
        SelfeditError: a folder cannot be read, or there are more than `MAX_FILES`.
    """
    found: list[Path] = []
    been: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        if os.path.realpath(place) in been:
            folders.clear()
            continue
        been.add(os.path.realpath(place))
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [Path(place, name) for name in names if name.lower().endswith(".json")]
        if len(found) > MAX_FILES:
            raise SelfeditError(f"{folder}: holds more than {MAX_FILES:,} JSON files; name the folder of the puzzles")
    found.sort(key=lambda path: path.relative_to(folder).parts)
    shown = [path for path in found if not _is_hidden(path.name)]
    hidden = [path for path in found if _is_hidden(path.name)]
    return [path for path in shown if path.is_file()], [path for path in shown if not path.is_file()], hidden


def _is_hidden(name: str) -> bool:
    """As macOS's `._x.json` beside x.json; its archives keep these in a folder of their own."""
    return name.startswith(".") or name == "__MACOSX"


def _refuse_folder(error: OSError) -> None:
    raise SelfeditError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


def _with_paths(
    folder: Path, puzzles: Sequence[tuple[Path, Context]], single: set[Path]
) -> Iterator[tuple[Path, Context]]:
    """Puzzles of a file each that are called alike and differ go by their paths in the folder."""
    alike: dict[str, list[tuple[Path, Context]]] = {}
    for path, context in puzzles:
        alike.setdefault(context.id, []).append((path, context))
    for path, context in puzzles:
        first = alike[context.id][0][1]
        differ = any(not is_same_puzzle(first, other) for _, other in alike[context.id])
        if differ and path in single:
            name = path.relative_to(folder).with_suffix("").as_posix()
            _check_id(str(path), name)
            yield path, context_of(name, demos_of(context), tests_of(context))
        else:
            yield path, context


def _merged(puzzles: Iterable[tuple[Path, Context]]) -> tuple[list[Context], int]:
    """Each puzzle once, and how many were there again."""
    found: dict[str, tuple[Path, Context]] = {}
    repeated = 0
    for path, context in puzzles:
        if context.id not in found:
            found[context.id] = path, context
            continue
        first, known = found[context.id]
        if not is_same_puzzle(known, context):
            raise SelfeditError(f"{path}: its puzzle {context.id} is another one than in {first}; leave one out")
        repeated += 1
        if has_answers(context) and not has_answers(known):
            found[context.id] = first, context
    return [context for _, context in found.values()], repeated


def _left_out(folder: Path, others: Sequence[Path], hidden: Sequence[Path], repeated: int) -> str:
    """What was not taken, in words; empty where that is nothing."""
    parts = [
        f"{len(paths)} {what}{'' if len(paths) == 1 else 's'} {tail}, such as {paths[0].relative_to(folder)}"
        for paths, what, tail in ((others, "file", "without puzzles"), (hidden, "hidden file", "passed over"))
        if paths
    ]
    if repeated:
        parts.append(f"{repeated} puzzle{' stands' if repeated == 1 else 's stand'} in several files, taken once")
    return "; ".join(parts)
