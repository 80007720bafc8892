"""L1. Self-edits from a file: another model's, published ones, or a person's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.jsonl import alike, is_encodable, read_objects, read_string


def read_edit_files(paths: str) -> dict[str, Mapping[str, Sequence[str]]]:
    """Each of the files in `paths` (joined by commas) by its name without folder and `.jsonl`: context id → its texts.
    Ids are spelled as `jsonl.alike` has them.

    A line is `{"id": CONTEXT, "edits": [TEXT, …]}`. Raises SelfeditError naming file and line.
    """
    files = [Path(part.strip()) for part in paths.split(",") if part.strip()]
    found: dict[str, Mapping[str, Sequence[str]]] = {}
    for path in files:
        name = path.name.removesuffix(".jsonl")
        if name in found:
            raise SettingError(Field("edits"), f" {paths}: two files are called {name}; rename one")
        found[name] = _read_file(path)
    return found


def for_contexts(texts_by_id: Mapping[str, Sequence[str]], ids: Iterable[str]) -> dict[str, Sequence[str]]:
    """A file's texts by the contexts' own ids, for a puzzle's is as its file spells it."""
    found = ((name, texts_by_id.get(name) or texts_by_id.get(alike(name))) for name in ids)
    return {name: texts for name, texts in found if texts}


def _read_file(path: Path) -> dict[str, Sequence[str]]:
    texts_by_id: dict[str, Sequence[str]] = {}
    for place, record in read_objects(path, ("edits",)):
        context_id = alike(read_string(place, record, "id"))
        if context_id in texts_by_id:
            raise SelfeditError(f"{place}: a second line for id {context_id!r}; join them")
        given = record.get("edits")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise SelfeditError(f"{place}: 'edits' is no list of texts; give at least one")
        if not all(is_encodable(text) for text in texts):
            raise SelfeditError(f"{place}: 'edits' holds half a surrogate pair; mend the text's \\u escapes")
        texts_by_id[context_id] = tuple(texts)
    return texts_by_id
