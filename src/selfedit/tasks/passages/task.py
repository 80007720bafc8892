"""L2. Knowledge incorporation: passages to learn, each with questions that are asked without it (SEAL §3.1, §4.2).

A study is what SEAL trains on: each piece of the self-edit behind the passage's title, and the passage itself last.

Departures from the paper:
1. The test prompt has words of its own; its parts are the paper's (a request for a short answer, topic, question).
2. A passage that is in both splits is refused, for a gain on it would be no gain on anything held out.
3. A distilled study teaches what the policy says of the same texts with the passage in sight (the paper trains on the
   texts as they stand). That holds for the passage too: in sight of it the policy as good as copies it, so that this
   comes to learning it as it stands, but for the places where even a copyist hesitates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from selfedit.config import EMBEDDED_MODEL, TaskSettings
from selfedit.edits import PROMPTS, ask_follow_ups, ask_for_edit, load_prompt, read_edit
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.jsonl import read_objects, read_string, read_text
from selfedit.records import (
    Answer,
    Context,
    Example,
    Outcome,
    Prompt,
    Query,
    Question,
    Stage,
    TrainingConfig,
    TrialSpec,
)
from selfedit.tasks.plugin import TaskPlugin

INVENTED = "invented"
"""The source that is the bundled corpus: subjects that do not exist, so that no model can know the answers."""
HELDOUT_SHARE = 0.4
"""Share of a file's passages, from its end, that is held out where no second file is given."""

AskStyle = Literal["plain", "chat"]
"""How questions are put: as bare text, as the paper does, or through the model's chat template."""

_TEST = "Answer the question directly and in a few words.\nQuestion: Topic: {title}\n{question}\nAnswer:"
_IN_SIGHT = "{title}\n{passage}\n\n"
_TEST_IN_CONTEXT = _IN_SIGHT + _TEST


class PassagesTask:
    """Learning passages; implements `protocols.Task`, `InContext`, `TwoStep` and `Variable`."""

    def __init__(
        self,
        train: Sequence[Context],
        heldout: Sequence[Context],
        prompt: str,
        ask_style: AskStyle = "plain",
        is_distilled: bool = False,
    ) -> None:
        """`prompt`: a name in `selfedit.edits.PROMPTS`. `is_distilled`: what is learnt is what the policy itself says
        with the passage in sight."""
        self._splits = {"train": tuple(train), "heldout": tuple(heldout)}
        self._prompt_name = load_prompt(prompt).name
        self._ask_style: AskStyle = ask_style
        self._is_distilled = is_distilled

    def contexts(self, split: str) -> Sequence[Context]:
        """Passages of `train` or `heldout`, in file order."""
        return self._splits[split]

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for a self-edit about this passage; in two steps, for its first."""
        return ask_for_edit(self._prompt_name, context.title, context.text)

    def follow_ups(self, context: Context, reply: str, seed: int) -> tuple[Prompt, ...]:
        """What is asked next; nothing where the reply is the self-edit. Raises InvalidEdit."""
        return ask_follow_ups(self._prompt_name, context.title, context.text, reply, seed)

    @property
    def untrainable(self) -> str:
        """See `protocols.TwoStep`."""
        if not load_prompt(self._prompt_name).second:
            return ""
        fit = ", ".join(name for name, prompt in PROMPTS.items() if not prompt.second)
        return f"{self._prompt_name} is written in two steps, which is for eval alone; choose from {fit}"

    def variant(self, prompt: str = "", is_distilled: bool = False) -> PassagesTask:
        """The same passages with another prompt (empty: this one's), and with distilled studies or plain ones."""
        splits = self._splits["train"], self._splits["heldout"]
        return PassagesTask(*splits, prompt or self._prompt_name, self._ask_style, is_distilled)

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """Pieces of the self-edit, then the passage; the passage alone for None. Raises InvalidEdit."""
        pieces = () if edit is None else read_edit(self._prompt_name, edit)
        in_sight = Prompt(_IN_SIGHT.format(title=context.title, passage=context.text), raw=True)
        teacher = in_sight if self._is_distilled else None
        texts = [f"{context.title}\n{piece}" for piece in (*pieces, context.text)]
        examples = tuple(Example(completion=text, teacher=teacher) for text in texts)
        return TrialSpec(examples=examples, queries=self._queries(context, _TEST))

    def in_context(self, context: Context) -> TrialSpec:
        """The questions with the passage before them: what a model can answer that need not have learnt anything."""
        return TrialSpec((), self._queries(context, _TEST_IN_CONTEXT))

    def validate(self) -> None:
        """SelfeditError naming the passage, unless gold answers earn 1.0 and empty ones 0.0 by the exact grader."""
        for context in (*self._splits["train"], *self._splits["heldout"]):
            queries = self.compile(context, None).queries
            earned = _accuracy(queries, [query.gold for query in queries]), _accuracy(queries, ["" for _ in queries])
            if earned != (1.0, 0.0):
                raise SelfeditError(
                    f"passage {context.id!r}: gold answers earn {earned[0]} and empty ones {earned[1]},"
                    " not 1.0 and 0.0; mend its answers"
                )

    def _queries(self, context: Context, template: str) -> tuple[Query, ...]:
        return tuple(
            Query(
                question_id=question.id,
                question=question.question,
                gold=question.answer,
                prompt=Prompt(
                    text=template.format(title=context.title, passage=context.text, question=question.question),
                    raw=self._ask_style == "plain",
                ),
            )
            for question in context.questions
        )


def load_passages(source: str, heldout: str | None = None) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    """(train, held-out) passages of `invented`, or of a JSONL or SQuAD v1.1 JSON file.

    `heldout` names a second file to hold out; without it the last 40 % of `source` are held out, at least one, and
    none where there is only one. Raises SelfeditError with one line, `path:line: what; what to do`.
    """
    if source == INVENTED:
        folder = resources.files("selfedit.tasks.passages") / INVENTED
        with (
            resources.as_file(folder / "train.jsonl") as train_file,
            resources.as_file(folder / "heldout.jsonl") as file,
        ):
            return _apart(_read_contexts(train_file), _read_contexts(Path(heldout) if heldout else file))
    contexts = _read_contexts(Path(source))
    if heldout is not None:
        return _apart(contexts, _read_contexts(Path(heldout)))
    n_heldout = max(1, round(HELDOUT_SHARE * len(contexts))) if len(contexts) > 1 else 0
    cut = len(contexts) - n_heldout
    return _apart(contexts[:cut], contexts[cut:])


class PassagesSettings(TaskSettings):
    """What the task of passages is told."""

    data: str = INVENTED
    """`invented` (the corpus that comes with the package) or a file of passages with questions: JSONL or SQuAD JSON."""
    heldout_data: str = ""
    """File of passages that never train the policy, all of them held out. Empty: the held-out part of the data."""
    prompt: str = "implications"
    """How a self-edit is asked for: implications, implications-long, implications-very-long, rewrite, self-qa,
    chain-of-thought or none; for eval also entigraph or active-reading, which are written in two steps."""
    ask_style: str = "plain"
    """How a question is put to the adapted model: plain or chat."""


def passages_of(settings: TaskSettings, inner: TrainingConfig) -> PassagesTask:
    """The passages and the ways of asking that the settings name.

    Raises:
        SelfeditError: there are none such; a file that cannot be used.
    """
    assert isinstance(settings, PassagesSettings)
    styles: tuple[AskStyle, ...] = get_args(AskStyle)
    style = next((style for style in styles if style == settings.ask_style), None)
    if style is None:
        raise SettingError(Field("ask_style"), f" {settings.ask_style}: unknown; choose from {', '.join(styles)}")
    return PassagesTask(*load_passages(settings.data, settings.heldout_data or None), settings.prompt, style)


PASSAGES = TaskPlugin(
    "passages",
    noun="passage",
    settings=PassagesSettings,
    load=passages_of,
    methods=(
        "base",
        "in-context",
        "passage",
        "sentences",
        "synthetic",
        "entigraph",
        "active-reading",
        "distil",
        "edits",
        "writer",
        "seal",
        "seal-edits",
    ),
    baselines=("base", "passage", "synthetic"),
    recipe_for=lambda model: "embedded" if model == EMBEDDED_MODEL else "paper",
    eval_methods="base,passage,synthetic",
)
"""Knowledge incorporation."""


_Placed = tuple[str, Context]
"""Where a context was read, as `path:line`, with it."""


def _apart(train: Sequence[_Placed], heldout: Sequence[_Placed]) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    texts = {_folded(context.text): place for place, context in train}
    ids = {context.id: place for place, context in train}
    for place, context in heldout:
        if _folded(context.text) in texts:
            raise SelfeditError(f"{place}: same passage as {texts[_folded(context.text)]}, which trains; leave one out")
        if context.id in ids:
            raise SelfeditError(f"{place}: same id {context.id!r} as {ids[context.id]}, which trains; rename one")
    return tuple(context for _, context in train), tuple(context for _, context in heldout)


def _read_contexts(path: Path) -> list[_Placed]:
    articles = _read_squad(path)
    records = read_objects(path) if articles is None else _squad_records(path, articles)
    contexts = [(place, _read_context(place, record)) for place, record in records]
    _refuse_duplicates(contexts)
    return contexts


def _read_squad(path: Path) -> list[Any] | None:
    """The articles of a SQuAD file; None where the file is something else, to be read as JSONL."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "data" not in value or "context" in value:
        return None
    if not isinstance(value["data"], list) or not value["data"]:
        raise SelfeditError(f"{path}:1: SQuAD's 'data' is no list of articles; give at least one")
    return value["data"]


def _squad_records(path: Path, articles: list[Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for a, article in enumerate(articles):
        article_place = f"{path}:1: data[{a}]"
        for p, paragraph in enumerate(_read_objects_in(article_place, article, "paragraphs")):
            place = f"{article_place}.paragraphs[{p}]"
            if not isinstance(paragraph, dict):
                raise SelfeditError(f"{place}: not an object; give 'context' and 'qas'")
            title, text, questions = article.get("title"), paragraph.get("context"), paragraph.get("qas")
            yield place, {"title": title, "context": text, "questions": questions}


def _read_context(place: str, record: dict[str, Any]) -> Context:
    title, text = read_string(place, record, "title").strip(), read_string(place, record, "context").strip()
    pairs = [_read_pair(place, n, item) for n, item in enumerate(_read_objects_in(place, record, "questions"), 1)]
    context_id = _read_id(place, record, title, text, pairs)
    questions = tuple(Question(f"{context_id}#{n}", *pair) for n, pair in enumerate(pairs, 1))
    return Context(id=context_id, title=title, text=text, questions=questions)


def _read_id(place: str, record: dict[str, Any], title: str, text: str, pairs: Sequence[tuple[str, str]]) -> str:
    if record.get("id") is None:
        content = json.dumps([title, text, pairs], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]
    if isinstance(record["id"], int) and not isinstance(record["id"], bool):
        return str(record["id"])
    return read_string(place, record, "id").strip()


def _read_objects_in(place: str, record: object, name: str) -> list[Any]:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, list) or not value:
        raise SelfeditError(f"{place}: no {name}; give at least one")
    return value


def _read_pair(place: str, n: int, item: object) -> tuple[str, str]:
    where = f"{place}: question {n}"
    if not isinstance(item, dict):
        raise SelfeditError(f"{where}: not an object; give 'question' and 'answer'")
    answer = item["answer"] if item.get("answer") is not None else _first_answer(item.get("answers"))
    return read_string(where, item, "question").strip(), read_string(where, {"answer": answer}, "answer").strip()


def _first_answer(answers: object) -> object:
    first = answers[0] if isinstance(answers, list) and answers else None
    return first.get("text") if isinstance(first, dict) else first


def _refuse_duplicates(contexts: Sequence[_Placed]) -> None:
    seen: dict[str, str] = {}
    for place, context in contexts:
        if context.id in seen:
            raise SelfeditError(f"{place}: same id {context.id!r} as {seen[context.id]}; rename one or leave it out")
        seen[context.id] = place


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _accuracy(queries: Sequence[Query], texts: Sequence[str]) -> float | None:
    answers = [Answer(query.question_id, text, gold_logprob=0.0) for query, text in zip(queries, texts, strict=True)]
    graded = grade_answers(load_grader("exact"), queries, answers)
    return Outcome("", Stage("eval"), "", "", "", policy=0, seed_index=0, answers=graded).accuracy
