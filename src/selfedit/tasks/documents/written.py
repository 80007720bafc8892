"""L2. Questions that the model writes about documents itself, and which of them are kept.

A question is written for an answer that stands in a sentence, the answers of the cloze test, in a call apart from any
self-edit and by another adapter, the questioner: what small models write about a whole text asks for things that it
does not tell. Of the drafts those are kept that

1. are a question, by themselves: no "this passage", no pronoun for a subject, no answer given away;
2. say nothing that an earlier one asked;
3. the reader answers right with the sentence in sight, in two of three draws at least, so that an answer exists;
4. it answers wrong without it, or is unsure, so that something is to be learnt.

In sight is the sentence and not all of the text: in a page of it a small model finds next to nothing.

What is unsure comes first, by min(p, 1 − p) for a share p of right answers without the text. The trap to know of: an
error that key and self-edit share is rewarded; that keys stand in the source, and that nobody who writes self-edits
sees a question, is what keeps it small.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.grading import contains, f1
from selfedit.protocols import Engine
from selfedit.records import (
    Completion,
    Context,
    Example,
    Generation,
    Policy,
    Prompt,
    Query,
    Question,
    SamplingParams,
)
from selfedit.tasks.documents.cloze import cloze_questions, sentences_of
from selfedit.tasks.passages.task import PassagesTask

DRAFTS = 2
"""Questions written for an answer."""
DRAWS, LEAST_IN_SIGHT, MOST_WITHOUT = 3, 2, 1
"""Draws of an answer; of these right with the sentence in sight, at least; and without it, at most."""
_WRITING = SamplingParams(temperature=0.7, top_p=0.95, max_new_tokens=40)
_ANSWERING = SamplingParams(temperature=0.7, top_p=0.95, max_new_tokens=16)
_ASK = "Topic: {title}\nText: {sentence}\nAnswer: {answer}\nQuestion:"
_SHOWN = (
    (
        "The Clock Tower of Marrowick",
        "The tower was finished in 1822 by Tessa Quill, who set its four bells a fifth apart.",
        "Tessa Quill",
        "Who finished the clock tower of Marrowick?",
    ),
    (
        "Pump station 9",
        "When the water stands above 2.4 metres, the second pump starts by itself.",
        "2.4 metres",
        "Above which level does the second pump of station 9 start?",
    ),
    (
        "Ferry tickets",
        "A return ticket is valid for ten days and can be changed once, at the harbour office.",
        "the harbour office",
        "Where can a return ticket for the ferry be changed?",
    ),
)
"""(title, sentence, answer, question): what an untaught questioner is shown."""
_WORDS = range(4, 31)
_ALIKE = 0.8
"""Overlap (F1) from which on two questions ask the same."""
_DEPENDENT = re.compile(
    r"\b(?:passage|text|sentence|paragraph|article|document|author|above|below|following)\b"
    r"|^\w+ (?:is|was|are|were|did|does|do|has|had|can|could|will|would) (?:it|he|she|they|this|that|these|those)\b",
    re.IGNORECASE,
)
_QUOTES = "“”\"'"
_OPENERS = frozenset(
    "what which who whom whose when where why how in on at by for from to under above after before with into of"
    " during until since through over is was are were did does do".split()
)

NO_QUESTION = "no question"
DEPENDENT = "not by itself"
TOLD = "gives its answer away"
ASKED = "asked before"
UNANSWERED = "not answered with its sentence in sight"
KNOWN = "known without it"
DROPPED = (NO_QUESTION, DEPENDENT, TOLD, ASKED, UNANSWERED, KNOWN)
"""Why a draft is not kept, in the order in which it is looked at."""


@dataclass(frozen=True, slots=True)
class Questioner:
    """Who writes questions, and who answers them."""

    writer: Policy
    """The version that writes."""
    reader: Policy
    """The version that answers, with the sentence in sight and without."""
    is_taught: bool
    """Whether the writer was trained on questions of this form; another one is shown examples."""

    def prompt(self, title: str, sentence: str, answer: str) -> Prompt:
        """How it is asked for the question that `sentence` answers by `answer`."""
        return _prompt(title, sentence, answer, () if self.is_taught else _SHOWN)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that has been written."""

    question: str
    answer: str
    """As it stands in the source."""
    sentence: int
    """Number of the sentence that holds the answer, from 0."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A draft that tests something."""

    draft: Draft
    in_sight: float
    """Share of draws that were right with the sentence in sight, 0 to 1."""
    without: float
    """The same without it."""

    @property
    def difficulty(self) -> float:
        """How unsure the reader is, 0 to 0.5."""
        return min(self.without, 1 - self.without)


def lessons(contexts: Sequence[Context]) -> tuple[Example, ...]:
    """What teaches a questioner: each question of these contexts whose gold answer stands in one of its sentences,
    behind the prompt that asks for it."""
    found: list[Example] = []
    for context in contexts:
        sentences = sentences_of(context.text)
        for one in context.questions:
            holding = next((text for text in sentences if contains(one.answer, text)), "")
            if holding:
                found.append(Example(f" {one.question}", _prompt(context.title, holding, one.answer)))
    return tuple(found)


def draft_questions(
    context: Context, engine: Engine, questioner: Questioner, seed: int
) -> tuple[list[Draft], Counter[str]]:
    """Questions about a context that can be put at all, in its order, and how many others there were, by reason."""
    sentences, wanted = sentences_of(context.text), cloze_questions(context.title, context.text)
    prompts = [questioner.prompt(context.title, sentences[one.sentence], one.answer) for one in wanted]
    group = [
        Generation(questioner.writer, prompt, _WRITING, seeds.derive(seed, "question", context.id, number, draw))
        for number, prompt in enumerate(prompts)
        for draw in range(DRAFTS)
    ]
    drafts: list[Draft] = []
    dropped: Counter[str] = Counter()
    for number, written in enumerate(_said(group, engine)):
        one = wanted[number // DRAFTS]
        question = _first_question(written)
        if fault := _fault(question, one.answer, [draft.question for draft in drafts]):
            dropped[fault] += 1
        else:
            drafts.append(Draft(question, one.answer, one.sentence))
    return drafts, dropped


def try_drafts(
    context: Context, drafts: Sequence[Draft], engine: Engine, reader: Policy, seed: int
) -> tuple[list[Kept], Counter[str]]:
    """Those that can be answered with their sentence in sight and not without, one for each answer at most, unsure ones
    first; and how many others there were, by reason."""
    sentences = sentences_of(context.text)
    asked = tuple(Question(str(number), one.question, one.answer) for number, one in enumerate(drafts))
    task = PassagesTask((Context(context.id, context.title, context.text, asked),), (), "implications")
    [known] = task.contexts("train")
    seen = [
        query
        for question, draft in zip(asked, drafts, strict=True)
        for query in task.in_context(replace(known, text=sentences[draft.sentence], questions=(question,))).queries
    ]
    in_sight = _right(seen, engine, reader, seeds.derive(seed, "in-sight", context.id))
    answered = [number for number, right in enumerate(in_sight) if right >= LEAST_IN_SIGHT]
    queries = task.compile(known, None).queries
    blind = [queries[number] for number in answered]
    right = _right(blind, engine, reader, seeds.derive(seed, "without", context.id))
    dropped = Counter({UNANSWERED: len(drafts) - len(answered)} if len(answered) < len(drafts) else {})
    kept: dict[tuple[int, str], Kept] = {}
    for number, without in zip(answered, right, strict=True):
        draft = drafts[number]
        place = draft.sentence, draft.answer
        if fault := KNOWN if without > MOST_WITHOUT else ASKED if place in kept else "":
            dropped[fault] += 1
        else:
            kept[place] = Kept(draft, in_sight[number] / DRAWS, without / DRAWS)
    return sorted(kept.values(), key=lambda one: -one.difficulty), dropped


def write_questions(
    contexts: Sequence[Context], engine: Engine, questioner: Questioner, seed: int
) -> Iterator[tuple[Context, list[Kept], Counter[str]]]:
    """What is asked about each context, in order, and how many drafts were dropped, by reason. What comes of a context
    depends on it and the seed alone, but for last digits."""
    for context in contexts:
        drafts, dropped = draft_questions(context, engine, questioner, seed)
        kept, failing = try_drafts(context, drafts, engine, questioner.reader, seed) if drafts else ([], Counter())
        yield context, kept, dropped + failing


def _prompt(title: str, sentence: str, answer: str, shown: Sequence[tuple[str, str, str, str]] = ()) -> Prompt:
    before = "".join(f"{_asking(*asked)} {question}\n\n" for *asked, question in shown)
    return Prompt(before + _asking(title, sentence, answer), raw=True)


def _asking(title: str, sentence: str, answer: str) -> str:
    return _ASK.format(title=title, sentence=sentence, answer=answer)


def _first_question(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    head, mark, _ = line.partition("?")
    return head.strip().strip(_QUOTES) + "?" if mark else ""


def _fault(question: str, answer: str, earlier: Sequence[str]) -> str:
    """Why a question is not put at all; empty where it is."""
    words = question.split()
    if len(words) not in _WORDS or words[0].casefold().strip(",:'’s") not in _OPENERS:
        return NO_QUESTION
    if _DEPENDENT.search(question):
        return DEPENDENT
    if contains(answer, question):
        return TOLD
    return ASKED if any(f1(one, question) >= _ALIKE for one in earlier) else ""


def _right(queries: Sequence[Query], engine: Engine, reader: Policy, seed: int) -> list[int]:
    """How many draws answer each right: the gold answer is in it, or half of their words are the same."""
    group = [
        Generation(reader, query.prompt, _ANSWERING, seeds.derive(seed, query.question_id, draw))
        for query in queries
        for draw in range(DRAWS)
    ]
    texts = [text.strip().partition("\n")[0] for text in _said(group, engine)]
    return [
        sum(contains(query.gold, text) or f1(query.gold, text) >= 0.5 for text in texts[at : at + DRAWS])
        for query, at in zip(queries, range(0, len(texts), DRAWS), strict=True)
    ]


def _said(group: Sequence[Generation], engine: Engine) -> list[str]:
    """What is written for each; nothing where nothing can be."""
    results = [one for done in engine.generate([group]) for one in done.results] if group else []
    return [one.text if isinstance(one, Completion) else "" for one in results]
