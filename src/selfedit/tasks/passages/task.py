"""L2. Knowledge incorporation: passages to learn, each with questions that are asked without it (SEAL §3.1, §4.2).

A study is what SEAL trains on: each piece of the self-edit behind the passage's title, and the passage itself last.

Departures from the paper:
1. The test prompt has words of its own; its parts are the paper's (a request for a short answer, topic, question).
2. A passage that is in both splits is refused, for a gain on it would be no gain on anything held out.
3. A distilled study teaches what the policy says of the same texts with the passage in sight (the paper trains on the
   texts as they stand). That holds for the passage too: in sight of it the policy as good as copies it, so that this
   comes to learning it as it stands, but for the places where even a copyist hesitates.
4. A study plan chooses learning rate, batch size, and how often a pass shows the passage, its sentences and own lines.
   How long it is studied is not its choice: that is the run's budget, or its epochs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from selfedit import seeds
from selfedit.config import EMBEDDED_MODEL, RunConfig, TaskSettings, at_least
from selfedit.edits import (
    PROMPTS,
    StudyPlan,
    as_question,
    ask_follow_ups,
    ask_for_edit,
    load_prompt,
    read_edit,
    read_plan,
    split_sentences,
)
from selfedit.errors import Field, InvalidEdit, SelfeditError, SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.jsonl import Place
from selfedit.records import (
    Answer,
    Budget,
    Context,
    Example,
    Outcome,
    Prompt,
    Query,
    Stage,
    TrainingConfig,
    TrialSpec,
)
from selfedit.tasks.passages.files import read_passages
from selfedit.tasks.passages.recital import MOST_RECITED, with_recital
from selfedit.tasks.plugin import TaskPlugin

INVENTED = "invented"
"""The source that is the bundled corpus: subjects that do not exist, so that no model can know the answers."""
HELDOUT_SHARE = 0.4
"""Share of a file's passages, from its end, that is held out where no second file is given."""

ANSWER_TOKENS, MOST_ANSWER_TOKENS = 64, 1_024
"""Length bound of an answer (paper: 64), and the most that may be asked for."""
MOST_REHEARSED = 64
"""Questions of other passages in a pass of a study, at most."""
AskStyle = Literal["plain", "chat"]
"""How questions are put: as bare text, as the paper does, or through the model's chat template."""

_TEST = "Answer the question directly and in a few words.\nQuestion: Topic: {title}\n{question}\nAnswer:"
_IN_SIGHT = "{title}\n{passage}\n\n"
_TEST_IN_CONTEXT = _IN_SIGHT + _TEST


class PassagesTask:
    """Learning passages; implements `protocols.Task`, `InContext`, `TwoStep`, `Variable`, `LineByLine`, `Examines`."""

    def __init__(
        self,
        train: Sequence[Context],
        heldout: Sequence[Context],
        prompt: str,
        ask_style: AskStyle = "plain",
        is_distilled: bool = False,
        inner: TrainingConfig | None = None,
        answer_tokens: int = ANSWER_TOKENS,
        rehearsed: int = 0,
        recite: int = 0,
    ) -> None:
        """`prompt`: a name in `selfedit.edits.PROMPTS`. `is_distilled`: what is learnt is what the policy itself says
        with the passage in sight. `inner`: how the run trains adapters, of which a study plan chooses a part; None:
        there are no study plans. `answer_tokens`: length bound of an answer. `rehearsed`: questions of other
        training passages, with their answers, that each pass of a study has beside its own texts. `recite`: tokens, at
        most, that the adapted model says of what it has studied before the learner answers with them in sight. Raises
        SelfeditError on a prompt that there is not, or that lacks `inner`."""
        self._splits = {"train": tuple(train), "heldout": tuple(heldout)}
        self._prompt_name = load_prompt(prompt).name
        self._ask_style: AskStyle = ask_style
        self._is_distilled = is_distilled
        self._inner = inner
        self._answer_tokens = answer_tokens
        self._rehearsed = rehearsed
        self._recite = recite
        if inner is None and load_prompt(prompt).chooses_training:
            raise SelfeditError(f"{prompt} chooses a part of the inner training; give the rest of it with inner")

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
        """The same passages with another prompt (empty: this one's), and with distilled studies; those of a task whose
        studies all are distilled stay so."""
        return PassagesTask(
            self._splits["train"],
            self._splits["heldout"],
            prompt or self._prompt_name,
            self._ask_style,
            is_distilled or self._is_distilled,
            self._inner,
            self._answer_tokens,
            self._rehearsed,
            self._recite,
        )

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """Pieces of the self-edit, then the passage; the passage alone for None; what a study plan says, with its own
        training. Raises InvalidEdit."""
        if edit is not None and self._inner is not None and load_prompt(self._prompt_name).chooses_training:
            plan = read_plan(edit)
            training = replace(self._inner, learning_rate=plan.learning_rate, batch_size=plan.batch_size)
            pieces = self._planned(context, edit, plan, training)
            return self._asked(context, TrialSpec(self._study(context, pieces), (), training))
        pieces = [] if edit is None else [*read_edit(self._prompt_name, edit)]
        return self._asked(context, TrialSpec(self._study(context, [*pieces, context.text]), ()))

    def _asked(self, context: Context, study: TrialSpec) -> TrialSpec:
        """The study with the passage's questions, at once or behind a recital."""
        spec = replace(study, queries=self._queries(context, _TEST))
        return with_recital(context.title, spec, self._recite) if self._recite else spec

    def _planned(self, context: Context, edit: str, plan: StudyPlan, training: TrainingConfig) -> list[str]:
        """What a pass of the plan shows. What is shown often comes again behind all that is shown more seldom, and of
        these repetitions the last ones go where the budget has fewer steps than a pass."""
        lines = read_edit(self._prompt_name, edit) if plan.lines and plan.own_lines else ()
        own = tuple(as_question(line) for line in lines) if plan.form == "question-answer" else lines
        own_sentences = split_sentences(context.text).splitlines()
        parts: list[tuple[Sequence[str], int]] = [(own_sentences, plan.sentences), (own, plan.lines)]
        parts.append(((context.text,), plan.passage))
        common = math.gcd(*(weight for pieces, weight in parts if pieces)) or 1
        rounds = [
            [piece for pieces, weight in parts if weight // common > times for piece in pieces]
            for times in range(max(weight for _, weight in parts) // common)
        ]
        shown = [piece for pieces in rounds for piece in pieces]
        if not shown:
            raise InvalidEdit("nothing is studied: its mix is of own lines, and there are none")
        budget = Budget.parse(training.budget)
        if budget is None or budget.unit != "steps":
            return shown
        room = budget.amount * training.batch_size - len(self._rehearsal(context))
        if len(rounds[0]) > room:
            raise InvalidEdit(f"one pass takes {len(rounds[0])} examples, and {training.budget} has room for {room}")
        return shown[:room]

    def _study(self, context: Context, pieces: Sequence[str]) -> tuple[Example, ...]:
        return (*self._examples(context, pieces), *self._rehearsal(context))

    def _examples(self, context: Context, pieces: Sequence[str]) -> tuple[Example, ...]:
        in_sight = Prompt(_IN_SIGHT.format(title=context.title, passage=context.text), raw=True)
        teacher = in_sight if self._is_distilled else None
        return tuple(Example(completion=f"{context.title}\n{piece}", teacher=teacher) for piece in pieces)

    def _rehearsal(self, context: Context) -> tuple[Example, ...]:
        """Questions of other training passages with their short answers: how questions are answered, which a study of
        texts alone unlearns. Which ones is decided by the passage, so that all its studies have the same."""
        others = [other for other in self._splits["train"] if other.text != context.text]
        asked = [example for other in others for example in self.exam(other, "short")] if self._rehearsed else []
        drawn = random.Random(seeds.derive("rehearsal", context.id))
        return tuple(drawn.sample(asked, min(self._rehearsed, len(asked))))

    def line_queries(self, context: Context, edit: str) -> list[tuple[Query, Query]]:
        """For each piece of the self-edit, how likely it is behind the title, as it is studied: asked with the passage
        before that, and without. Raises InvalidEdit."""
        alone = f"{context.title}\n"
        in_sight = _IN_SIGHT.format(title=context.title, passage=context.text) + alone
        return [
            (
                Query(f"{number} in sight", piece, piece, Prompt(in_sight, raw=True), max_new_tokens=0),
                Query(f"{number} alone", piece, piece, Prompt(alone, raw=True), max_new_tokens=0),
            )
            for number, piece in enumerate(read_edit(self._prompt_name, edit))
        ]

    def in_context(self, context: Context) -> TrialSpec:
        """The questions with the passage before them: what a model can answer that need not have learnt anything."""
        return TrialSpec((), self._queries(context, _TEST_IN_CONTEXT))

    def texts(self, context: Context) -> tuple[Example, ...]:
        """See `protocols.Examines`."""
        return self._examples(context, [context.text])

    def exam(self, context: Context, answers: Literal["short", "sentence"]) -> tuple[Example, ...]:
        """See `protocols.Examines`. Where no sentence holds the gold answer, it is the answer by itself."""
        sentences = split_sentences(context.text).splitlines() if answers == "sentence" else []

        def reply(gold: str) -> str:
            return next((one for one in sentences if gold.casefold() in one.casefold()), gold)

        return tuple(Example(reply(query.gold), query.prompt) for query in self._queries(context, _TEST))

    def validate(self) -> None:
        """SelfeditError naming the passage, unless gold answers earn 1.0 and empty ones 0.0 by the exact grader."""
        for context in (*self._splits["train"], *self._splits["heldout"]):
            queries = self._queries(context, _TEST)
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
                max_new_tokens=self._answer_tokens,
            )
            for question in context.questions
        )


def load_passages(source: str, heldout: str | None = None) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    """(train, held-out) passages of `invented`, or of a file (see files.py).

    `heldout` names a second file to hold out; without it the last 40 % of `source` are held out, at least one, and
    none where there is only one. Raises SelfeditError with one line, `path:line: what; what to do`.
    """
    if source == INVENTED:
        folder = resources.files("selfedit.tasks.passages") / INVENTED
        with (
            resources.as_file(folder / "train.jsonl") as train_file,
            resources.as_file(folder / "heldout.jsonl") as file,
        ):
            return _apart(read_passages(train_file), read_passages(Path(heldout) if heldout else file))
    if Path(source).is_dir():
        told = f" {source}: a folder; name a file of passages in it, or learn documents without questions with "
        raise SettingError(Field("data"), told, Field("task"), " documents")
    contexts = read_passages(Path(source))
    if heldout is not None:
        return _apart(contexts, read_passages(Path(heldout)))
    n_heldout = max(1, round(HELDOUT_SHARE * len(contexts))) if len(contexts) > 1 else 0
    cut = len(contexts) - n_heldout
    return _apart(contexts[:cut], contexts[cut:])


class PassagesSettings(TaskSettings):
    """What the task of passages is told."""

    data: str = INVENTED
    """`invented` (the corpus that comes with the package) or a file of passages with questions: JSON lines,
    SQuAD, Hugging Face rows or CSV."""
    heldout_data: str = ""
    """File of passages that never train the policy, all of them held out. Empty: the held-out part of the data."""
    prompt: str = "implications"
    """How a self-edit is asked for: implications, implications-long, implications-very-long, rewrite, self-qa,
    chain-of-thought, none or study-plan; for eval also entigraph or active-reading, which are written in two steps."""
    ask_style: str = "plain"
    """How a question is put to the adapted model: plain or chat."""
    answer_tokens: int = ANSWER_TOKENS
    """Length bound of an answer. Questions ask for a few words; a bound of 16 or so leaves a model that recites what it
    studied no room to come upon the answer."""

    rehearsed: int = 0
    """Questions of other training passages, with their short answers, that each pass of a study has beside its own
    texts, so that studying does not unlearn how questions are answered. They count for the budget."""
    recite: int = 0
    """Tokens, at most, that the adapted model says of what it has studied, behind the title, before the learner answers
    with that in sight: closed-book in two steps. It needs a learner that can read. 0: it answers at once."""
    distilled: bool = False
    """What is learnt of each text is what the learner itself expects there with the passage in sight, instead of the
    text as it stands: what the passage does not bear out is not learnt. It needs a learner that can read."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where it changes nothing, so that older runs keep their names."""
        later = {"distilled", "recite"}
        return {name: value for name, value in dump(self).items() if name not in later or value}

    @model_validator(mode="after")
    def _check_answers(self) -> PassagesSettings:
        at_least(1, "answer_tokens", self.answer_tokens, MOST_ANSWER_TOKENS)
        at_least(0, "rehearsed", self.rehearsed, MOST_REHEARSED)
        at_least(0, "recite", self.recite, MOST_RECITED)
        return self


def passages_of(settings: TaskSettings, run: RunConfig) -> PassagesTask:
    """The passages and the ways of asking that the settings name.

    Raises:
        SelfeditError: there are none such; a file that cannot be used.
    """
    assert isinstance(settings, PassagesSettings)
    return asking(*load_passages(settings.data, settings.heldout_data or None), settings, run)


def asking(
    train: Sequence[Context], heldout: Sequence[Context], settings: PassagesSettings, run: RunConfig
) -> PassagesTask:
    """These contexts, asked as the settings say.

    Raises:
        SettingError: there is no such way of asking.
    """
    styles: tuple[AskStyle, ...] = get_args(AskStyle)
    style = next((style for style in styles if style == settings.ask_style), None)
    if style is None:
        raise SettingError(Field("ask_style"), f" {settings.ask_style}: unknown; choose from {', '.join(styles)}")
    if settings.recite and run.inner.method == "full":
        told = " full: a recital is read by the learner without the adapter, and there is none; use lora"
        raise SettingError(Field("inner.method"), told)
    if settings.distilled and run.inner.skip_above < 1:
        told = f" {run.inner.skip_above}: a distilled study learns what a teacher expects, whole; leave it at 1"
        raise SettingError(Field("inner.skip_above"), told)
    return PassagesTask(
        train,
        heldout,
        settings.prompt,
        style,
        settings.distilled,
        inner=run.inner,
        answer_tokens=settings.answer_tokens,
        rehearsed=settings.rehearsed,
        recite=settings.recite,
    )


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
        "random-plan",
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


_Placed = tuple[Place, Context]
"""Where a context was read, with it."""


def _apart(train: Sequence[_Placed], heldout: Sequence[_Placed]) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    texts = {_folded(context.text): place for place, context in train}
    ids = {context.id: place for place, context in train}
    for place, context in heldout:
        if _folded(context.text) in texts:
            raise SelfeditError(f"{place}: same passage as {texts[_folded(context.text)]}, which trains; leave one out")
        if context.id in ids:
            raise SelfeditError(f"{place}: same id {context.id!r} as {ids[context.id]}, which trains; rename one")
    return tuple(context for _, context in train), tuple(context for _, context in heldout)


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _accuracy(queries: Sequence[Query], texts: Sequence[str]) -> float | None:
    answers = [Answer(query.question_id, text, gold_logprob=0.0) for query, text in zip(queries, texts, strict=True)]
    graded = grade_answers(load_grader("exact"), queries, answers)
    return Outcome("", Stage("eval"), "", "", "", policy=0, seed_index=0, answers=graded).accuracy
