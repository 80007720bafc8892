"""L1. The run folder: made whole or not at all, held by one process at a time, and never two runs in one.

`config.json` says what the run is: its settings (`config`) and what it found out about itself (`facts`: model and data
hashes, device, code). The same settings on the same folder resume; others are refused. Code and command may change
between starts, for otherwise no run would outlive a commit: the first ones stay, and each later one is noted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from selfedit.disk import new_folder, replace_file, write_new
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.records import digest
from selfedit.store.ledger import read_ledger

CONFIG = "config.json"
SCHEMA = 2
"""Of a run folder: raised whenever an older run can neither be read nor resumed."""
RunKind = Literal["train", "eval", "continual", "house-rules", "stream"]
"""What a run is: the outer loop, a table of methods, sequences of updates, or agents that are told rules."""
_PARTS: dict[str, Callable[[Any], bool]] = {
    "kind": lambda held: isinstance(held, str) and held in get_args(RunKind),
    "config": lambda held: isinstance(held, dict),
    "facts": lambda held: isinstance(held, dict),
    "resumed_with": lambda held: held is None or isinstance(held, list),
}
"""What a run's record holds, and whether that is of the right type."""
_SETTINGS: dict[str, type] = {
    **dict.fromkeys(("task", "model", "grader", "judge", "reward", "methods", "strategy", "writer"), str),
    **dict.fromkeys(("sequences", "contexts", "seeds", "rounds"), int),
    "task_args": dict,
}
"""Settings that are read from a record by themselves, and what each must be."""
_NEEDED = {"continual": ("task", "model", "grader", "strategy", "sequences", "contexts", "edits", "writer")}
"""Which of them a record must have, by kind; else the task and the model."""
LOCK = "run.lock"
_WRITTEN = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", LOCK, "figures", "puzzles", "adapters")
"""What is opened or filled where it lies in a run folder. Everything else is replaced as a whole."""
_GRADING = "grading"
"""Where the record notes a grading that has begun."""
_FREE = ("code", "command", "chosen")
"""Facts that may differ when a run is resumed."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run folder that this process holds."""

    path: Path
    """The folder."""
    grading: int = 0
    """Number of the grading that it is held for; 0 where it is held for a run."""

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.path / "ledger.db"


@contextlib.contextmanager
def open_run(
    path: Path,
    kind: RunKind,
    config: Mapping[str, Any],
    facts: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[RunFolder]:
    """Makes or resumes the run at `path` and holds it until the block ends.

    Args:
        kind: what the run is.
        config: the resolved settings, JSON-ready, without the folder's own name.
        facts: what identifies model, data and code, JSON-ready.
        defaults: settings as they are where nobody sets them; a run that is older than a setting has had its default.

    Raises:
        SelfeditError: the folder cannot be written, holds something else or another run, or is in use.
    """
    check_run(path, config, defaults)
    _create(path, {"schema": SCHEMA, "kind": kind, "config": dict(config), "facts": dict(facts)})
    with _lock(path):
        check_run(path, config, defaults, facts)
        _note_start(path, facts)
        yield RunFolder(path)


def check_run(
    path: Path,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Refuses what `open_run` would refuse, without touching anything; for use before a model is loaded."""
    if path.exists() and not path.is_dir():
        raise SettingError(Field("run"), f" {path}: is a file, not a folder")
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SettingError(Field("run"), f" {path}: cannot be written; choose another folder")
    if not path.exists() or not _contents(path):
        return
    if not (path / CONFIG).is_file():
        raise SettingError(Field("run"), f" {path}: is not empty and holds no run; choose another folder")
    held = read_run(path)
    _refuse_other(path, "", {**flatten(defaults or {}), **flatten(held["config"])}, flatten(config))
    if facts is not None:
        _refuse_other(path, "facts.", flatten(_pinned(held["facts"])), flatten(_pinned(facts)))


def read_run(path: Path) -> dict[str, Any]:
    """The run's config.json: `kind`, `config` and `facts`. Where a grading was stopped half-way, its settings hold if
    its verdicts are in the ledger, and the former ones if not."""
    _refuse_links(path)
    try:
        held = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        wrong = [name for name, is_right in _PARTS.items() if not is_right(held.get(name))]
    except FileNotFoundError:
        raise SelfeditError(f"{path}: no run here ({CONFIG} is missing)") from None
    except OSError as error:
        raise SelfeditError(f"{path / CONFIG}: cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, RecursionError):
        raise SelfeditError(f"{path / CONFIG}: is not the record of a run; choose another folder") from None
    if not {"config", "facts"} & set(wrong):
        check_schema(str(path), held, "choose another folder")  # other schemas may have other parts
        wrong += _wrong_settings(held)
    _refuse_wrong(path, wrong)
    begun = held.pop(_GRADING, None)
    if isinstance(begun, dict) and isinstance(begun.get("config"), dict) and _last_grading(path) == begun.get("number"):
        held["config"] = {**held["config"], **begun["config"]}
        _refuse_wrong(path, _wrong_settings(held))
    return dict(held)


def _wrong_settings(held: Mapping[str, Any]) -> list[str]:
    config = held["config"]
    lacking = [name for name in _NEEDED.get(str(held.get("kind")), ("task", "model")) if name not in config]
    return [f"config.{name}" for name in lacking] + [
        f"config.{name}" for name, kind in _SETTINGS.items() if not isinstance(config.get(name, kind()), kind)
    ]


def _refuse_wrong(path: Path, wrong: Sequence[str]) -> None:
    if wrong:
        told = f"{path / CONFIG}: is not the record of a run ({', '.join(wrong)})"
        raise SelfeditError(f"{told}; choose another folder")


def _refuse_links(path: Path) -> None:
    """A folder from elsewhere may have a link where a run writes, to what is somebody's."""
    below = (Path(place, name) for place, names, _ in os.walk(path / "adapters") for name in names)
    for place in (*(path / name for name in _WRITTEN), *below):
        if place.is_symlink():
            told = (
                f" {path}: its {place.relative_to(path)} is a link; delete that, or put in its place what it leads to"
            )
            raise SettingError(Field("run"), told)


def check_schema(what: str, record: Mapping[str, Any], mend: str) -> None:
    """Refuses the record of a run that another version made. `mend`: what to do."""
    found = record.get("schema", 1)
    if found != SCHEMA:
        told = f"{what}: is a run of schema {found}, and this version reads schema {SCHEMA}; {mend}"
        raise SelfeditError(f"{told}, or use the version of selfedit that made it")


@contextlib.contextmanager
def amend_run(path: Path, settings: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Holds the run at `path` while its answers are graded anew, with the number of that grading. Its record says
    `settings` from the moment in which the verdicts are in the ledger under this number: what is to be is noted first,
    so that no kill leaves a record that names another grader than the one whose verdicts are there.

    Raises:
        SelfeditError: there is no run, or it is in use. One that is raised within, before there are new verdicts,
            leaves the record as it was.
    """
    read_run(path)
    with _lock(path):
        held, number = read_run(path), _last_grading(path) + 1
        _replace_record(path, {**held, _GRADING: {"number": number, "config": dict(settings)}})
        try:
            yield RunFolder(path, number)
        except SelfeditError:
            if _last_grading(path) < number:
                _replace_record(path, held)
            raise
        _replace_record(path, {**held, "config": {**held["config"], **settings}})


def _last_grading(path: Path) -> int:
    if not (path / "ledger.db").is_file():
        return 0
    with read_ledger(path / "ledger.db") as ledger:
        return ledger.last_grading()


def file_name(text: str) -> str:
    """What a file about `text` is called: the text itself where it is plain, short and in small letters, else what is
    plain in it with a part of its hash. Never a path, whatever an id from elsewhere holds, and never another text's
    name: neither where a file system knows no capitals, nor where a text is made like the name of another."""
    plain = re.sub(r"[^\w.~-]+", "-", text, flags=re.ASCII).lstrip(".-")[:80]
    if plain and plain == text.lower() and not re.search(r"(^|-)[0-9a-f]{10}$", text):
        return text
    return f"{plain}-{digest(text.encode(errors='surrogatepass').hex())[:10]}".lstrip("-")


def code_version() -> str:
    """The package's version, with the commit where it runs from a git checkout; `+changes` where that is edited."""
    try:
        number = version("selfedit")
    except PackageNotFoundError:
        number = "unpackaged"
    here = Path(__file__).resolve()
    try:
        tracked = _git(here, "ls-files", "--error-unmatch", here.name)
        commit = _git(here, "rev-parse", "HEAD") if tracked else ""
        changes = "+changes" if commit and _git(here, "status", "--porcelain", "--", str(here.parents[1])) else ""
    except (OSError, subprocess.SubprocessError):
        return number
    return f"{number} {commit}{changes}" if commit else number


def _git(here: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(here.parent), *words], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _contents(path: Path) -> list[str]:
    """What is in the folder, but for a lock left by a start that failed."""
    try:
        return [name for name in os.listdir(path) if name != LOCK]
    except OSError as error:
        raise SettingError(Field("run"), f" {path}: cannot be read ({error.strerror}); choose another folder") from None


def _create(path: Path, record: dict[str, Any]) -> None:
    """The folder with its record in one rename, so that a crash leaves no folder without one."""
    if (path / CONFIG).is_file():
        return
    try:
        if path.exists():
            replace_file(path / CONFIG, _as_bytes(record))
            return
        with new_folder(path) as staged:
            write_new(staged / CONFIG, _as_bytes(record))
    except OSError as error:
        if (path / CONFIG).is_file():
            return  # another process was first; its record is checked next
        raise SettingError(
            Field("run"), f" {path}: cannot be written ({error.strerror}); choose another folder"
        ) from None


def _note_start(path: Path, facts: Mapping[str, str]) -> None:
    """Adds this start's code to the record where it is new."""
    held = read_run(path)
    code = facts.get("code")
    if code and code not in [held["facts"].get("code"), *held.get("resumed_with", [])]:
        held.setdefault("resumed_with", []).append(code)
        _replace_record(path, held)


def _replace_record(path: Path, record: dict[str, Any]) -> None:
    replace_file(path / CONFIG, _as_bytes(record))


def _as_bytes(record: dict[str, Any]) -> bytes:
    """As JSON; a file name that is no UTF-8 stays what it is."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def is_held(path: Path) -> bool:
    """Whether a process of this machine works on the run."""
    try:
        with (path / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds the folder. The kernel lets go of the lock when its process dies, so there are no stale ones."""
    try:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        _refuse_links(path)
        raise SettingError(
            Field("run"), f" {path}: cannot be written ({error.strerror}); choose another folder"
        ) from None
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise SettingError(
                Field("run"), f" {path}: in use by another process (pid {holder}); wait for it"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _refuse_other(path: Path, prefix: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if not keys:
        return
    shown = ", ".join(f"{prefix}{key} {before.get(key, 'unset')} → {now.get(key, 'unset')}" for key in keys[:4])
    rest = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    told = f" {path}: holds another run ({shown}{rest}); choose another "
    raise SettingError(Field("run"), told, Field("run"), ", or its settings")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `inner.rank` → `32`."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value, ensure_ascii=False)
    return flat


def _pinned(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in _FREE}
