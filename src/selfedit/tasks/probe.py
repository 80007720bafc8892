"""L2. What a model should keep while it learns something else: a probe of general text and common knowledge.

The bundled one is original: paragraphs whose log-probability stands for fluency, questions that the untouched model
gets right (those it fails say nothing about forgetting and are left out), and openings from which strategies let the
untouched model write on. Openings share nothing with the probe but how a question is put.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from selfedit.errors import Field, SettingError
from selfedit.jsonl import Place, read_objects, read_string
from selfedit.records import Probe, Prompt, Query

BUNDLED = "bundled"
"""The probe that comes with the package."""
_QUESTIONS, _MORE, _TEXTS, _OPENINGS = (
    f"{name}.jsonl" for name in ("questions", "more_questions", "texts", "openings")
)

_QUESTION = "Answer the question directly and in a few words.\nQuestion: {question}\nAnswer:"


def load_probe(source: str) -> Probe:
    """The bundled probe, or the questions (`question`, `answer`) and texts (`title`, `text`) of a JSONL file, with the
    bundled openings.

    Raises:
        SelfeditError: the file cannot be read, or has no questions or no texts; in one line.
    """
    questions, texts, openings = (_bundled(name) for name in (_QUESTIONS, _TEXTS, _OPENINGS))
    if source != BUNDLED:
        given = read_objects(Path(source))
        questions = [(place, record) for place, record in given if "question" in record]
        texts = [(place, record) for place, record in given if "question" not in record]
        for what, found in (("questions {question, answer}", questions), ("texts {title, text}", texts)):
            if not found:
                raise SettingError(Field("probe"), f" {source}: has no {what}; give some, one JSON object a line")
    return Probe(
        tuple(_question(number, *one) for number, one in enumerate(questions, 1)),
        tuple(_text(number, *one) for number, one in enumerate(texts, 1)),
        tuple(Prompt(read_string(place, record, "opening"), raw=True) for place, record in openings),
    )


def more_questions() -> tuple[Query, ...]:
    """Further questions of common knowledge, whether the untouched model knows them or not, for differences that need
    many."""
    start = len(_bundled(_QUESTIONS)) + 1
    return tuple(_question(number, *one) for number, one in enumerate(_bundled(_MORE), start))


def _bundled(name: str) -> list[tuple[Place, dict[str, Any]]]:
    with resources.as_file(resources.files("selfedit.tasks") / "probe_data") as path:
        return list(read_objects(path / name))


def _question(number: int, place: Place, record: dict[str, object]) -> Query:
    question, answer = read_string(place, record, "question"), read_string(place, record, "answer")
    return Query(f"@question#{number}", question, answer, Prompt(_QUESTION.format(question=question), raw=True), 16)


def _text(number: int, place: Place, record: dict[str, object]) -> Query:
    title, text = read_string(place, record, "title"), read_string(place, record, "text")
    return Query(f"@text#{number}", title, text, Prompt(title + "\n", raw=True), max_new_tokens=0)
