"""L3. A stream of documents: each is learnt when it comes, and the same questions are asked after every one.

    a document comes → a self-edit → an adapter of its own, at once → now and then a sleep: one adapter for all, anew

1. All arms lie on one adapter, the reader, which was made on other worlds and knows how questions are answered, with
   documents in sight or without. So no arm wins by learning the form of answers.
2. A sleep begins from the reader and studies what is kept: of the documents that are there, in the order of their
   names, what still holds. Its seed comes from that alone. So what a document taught is gone with it: the adapter is
   the one that there would be had it never come.
3. A question that is asked of the same adapter with the same in sight is not asked again: its answer is.
4. Everything goes through the ledger: versions, self-edits, answers. Started again, it goes on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from selfedit import seeds
from selfedit.grading import exact
from selfedit.learn.asking import Asker
from selfedit.learn.common_start import common_start, trained
from selfedit.learn.rehearsal import by_turns, rehearsals
from selfedit.learn.stream.keeping import CountTokens, KeptSoFar
from selfedit.learn.stream.settings import StreamArm, StreamConfig
from selfedit.learn.stream.study import StudiedLine, in_epochs, latest_answers, sighted
from selfedit.learn.stream.writing import studied_lines, taught_examples, write_about
from selfedit.loop.cutting import shards
from selfedit.loop.regrading import grade_missing
from selfedit.loop.runtime import Runtime
from selfedit.records import (
    REGRADING,
    UNTOUCHED,
    Answer,
    Example,
    GradedAnswer,
    Outcome,
    Policy,
    Probe,
    Query,
    SelfEdit,
    Stage,
    TrainingConfig,
    Update,
    Version,
    digest,
)
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream, TimedQuestion, asked_at
from selfedit.tasks.streams.task import (
    ANSWER_TOKENS,
    document_text,
    put_answered,
    put_timed,
)
from selfedit.tasks.streams.world import make_document_stream, study_questions

ASKED, KNOWN_STILL, FLUENT_STILL = "asked", "known", "fluent"
"""Methods of outcomes: a document's questions; common knowledge; general text, whose log-probability alone is taken."""
FAST, MERGED, SLOW, TAUGHT = "fast", "merge", "slow", "taught"
"""Rows of versions; the last is the writer's."""
READER = "adapters/reader"
"""Where the adapter lies that all arms share, in the folder of the run that makes it."""
PROBE, MORE = "probe", "more"
"""In place of a document's name."""
_READER_WORLDS = 1_000_000
"""Seeds of the worlds that the reader is made on begin here; worlds of an experiment are below."""
_READER_SIGHT = (0, 0, 1, 1, 2, 3)
"""Documents in sight of one example, drawn evenly."""
_OF_ONE_ADAPTER = ("none", "merge", "slow", "fast+slow", "other")
"""Arms that have one adapter for general text."""


@dataclass(frozen=True)
class StreamRun:
    """The experiment, ready to be run."""

    config: StreamConfig
    runtime: Runtime
    count: CountTokens
    """Counts the model's tokens."""
    streams: tuple[DocumentStream, ...]
    probe: Probe
    """What must be kept; its openings are rehearsed."""
    more: tuple[Query, ...] = ()
    """Further questions of common knowledge, for arms of one adapter."""
    edits: dict[tuple[int, int], SelfEdit] = field(default_factory=dict)
    """By (stream, event), what was written about the document."""
    answers: dict[tuple[str, str, str], Answer] = field(default_factory=dict)
    """By (hash of the adapter, prompt, gold answer), what was answered."""

    def run(self) -> None:
        """Makes the reader, and goes through every stream.

        Raises:
            SelfeditError: something could not be trained or asked.
        """
        reader = self._reader()
        author = self._taught() if self.config.writer in ("taught", "checked") else UNTOUCHED
        for chain in range(len(self.streams)):
            written = write_about(
                self.config, self.runtime, self.streams[chain], chain, author, lambda asked: self._agree(reader, asked)
            )
            self.edits.update({(chain, number): edit for number, edit in written.items()})
        slow = {chain: self._live(chain, reader) for chain in range(len(self.streams))}
        for chain, stream in enumerate(self.streams):
            others = [one for one in slow if one != chain]
            arms = [arm for arm in self.config.arm_list() if arm.kind == "other" and others]
            if arms:
                kept = replace(self._kept(chain, len(stream.events), reader), other=slow[others[0]])
                self._ask(chain, len(stream.events), arms[0], kept)
        grade_missing(self.runtime.ledger, self.runtime.grade, self.runtime.ledger.outcomes())
        self.runtime.note_usage(REGRADING, "judge", self.runtime.judge)

    def _live(self, chain: int, reader: Policy) -> Policy:
        """All events of a stream; returns the adapter of its last sleep."""
        stream, arms = self.streams[chain], self.config.arm_list()
        self._learn_fast(chain, reader)
        asked, slept = self.config.exams(stream), self.config.sleeps(stream)
        self.runtime.progress.stage(f"{stream.name}: {len(stream.events)} events", len(stream.events))
        for event in stream.events:
            if self.config.merges and event.text:
                self._merge(chain, event, reader)
            if event.number in slept:
                self._sleep(chain, event.number, reader)
            kept = self._kept(chain, event.number, reader)
            for arm in (one for one in arms if one.kind != "other" and event.number in asked):
                self._ask(chain, event.number, arm, kept)
            self.runtime.progress.advance()
        return self._kept(chain, len(stream.events), reader).slow

    def _kept(self, chain: int, event: int, reader: Policy) -> KeptSoFar:
        own = {row: self._versions(row, chain) for row in (FAST, MERGED, SLOW)}
        merged = [version for version in own[MERGED] if version.step <= event]
        slow = [version for version in own[SLOW] if version.step <= event]
        return KeptSoFar(
            documents=self.streams[chain].documents_at(event),
            start=reader,
            merged=merged[-1].policy if merged else reader,
            fast={version.step: version.policy for version in own[FAST]},
            slow=slow[-1].policy if slow else reader,
            slept=slow[-1].step if slow else 0,
            other=UNTOUCHED,
            count=self.count,
        )

    def _versions(self, row: str, chain: int) -> list[Version]:
        return sorted((v for v in self.runtime.ledger.versions(row) if v.chain == chain), key=lambda v: v.step)

    # What is studied.

    def kept_lines(self, chain: int, event: int) -> list[StudiedLine]:
        """The lines that a sleep after this event studies: they depend on nothing but the documents that are there."""
        stream = self.streams[chain]
        valid = stream.valid_facts(event) if self.config.writer == "oracle" else None
        return latest_answers(
            [
                line
                for one in stream.documents_at(event)
                for line in studied_lines(self.config, one, self.edits[chain, one.number], valid)
            ]
        )

    @cached_property
    def rehearsals(self) -> tuple[Example, ...]:
        """General text as the untouched model goes on with it, so much that each epoch of a sleep has texts of its
        own."""
        n = self.config.rehearsed * self.config.slow.epochs
        return rehearsals(self.runtime.writer, self.probe.openings, n, is_anchored=True)

    # What is trained.

    def _reader(self) -> Policy:
        """What all arms lie on."""

        def update() -> Update:
            examples = reader_examples(self.config.reader_examples, self.config.seed)
            return Update(UNTOUCHED, READER, examples, self.config.reader, seeds.derive(self.config.seed, "reader"))

        return common_start(self.runtime, "reader_adapter", self.config.reader_adapter, update)

    def _taught(self) -> Policy:
        """The writer that was shown perfect self-edits of other worlds."""
        config, seed = self.config, seeds.derive(self.config.seed, TAUGHT)
        examples = taught_examples(config.taught_examples, config.renderings, config.seed)
        self.runtime.progress.stage("the writer that is taught: training", 1)
        update = Update(UNTOUCHED, f"adapters/{TAUGHT}", examples, config.reader, seed)
        self._add(TAUGHT, 0, {(1, ""): update})
        return self._versions(TAUGHT, 0)[0].policy

    def _learn_fast(self, chain: int, reader: Policy) -> None:
        """An adapter for every state of every document, a bank of them at a time: they depend on nothing else."""
        stream = self.streams[chain]
        told = self.config.own_adapters(stream)
        if not told:
            return
        size = max(1, self.runtime.writer.bank_size)
        self.runtime.progress.stage(f"{stream.name}: {len(told)} documents, each by itself", len(told))
        for at in range(0, len(told), size):
            self._train(FAST, chain, told[at : at + size], reader, self.config.inner)
            self.runtime.progress.advance(len(told[at : at + size]))

    def _merge(self, chain: int, event: DocumentEvent, reader: Policy) -> None:
        before = [one for one in self._versions(MERGED, chain) if one.step < event.number]
        self._train(MERGED, chain, [event], before[-1].policy if before else reader, self.config.inner)

    def _train(
        self, row: str, chain: int, events: Sequence[DocumentEvent], base: Policy, training: TrainingConfig
    ) -> None:
        """An adapter for each of these documents."""
        updates = {}
        for event in events:
            lines = studied_lines(self.config, event, self.edits[chain, event.number], None)
            examples = tuple(dict.fromkeys(one.example for one in lines))
            seed = seeds.derive(self.config.seed, row, digest([one.completion for one in examples]))
            place = f"adapters/{row}-{chain}-{event.number}"
            updates[event.number, event.document] = Update(base, place, examples, training, seed)
        self._add(row, chain, updates)

    def _sleep(self, chain: int, event: int, reader: Policy) -> None:
        """One adapter for all that is kept, from the reader on."""
        lines, config = self.kept_lines(chain, event), self.config
        if not lines:
            return
        plain, epochs = [one.example for one in lines], config.slow.epochs
        seed = seeds.derive(config.seed, "sleep", digest([(one.prompt, one.completion) for one in plain]))
        documents = self.streams[chain].documents_at(event)
        behind = sighted(lines, documents, config.sight_tokens, self.count, seed) if config.in_sight else plain
        examples = (
            *in_epochs(plain, behind, config.in_sight, epochs, seed),
            *by_turns(self.rehearsals, config.rehearsed, epochs),
        )
        place, parts = f"adapters/{SLOW}-{chain}-{event}", shards(config.slow, config.cut_for)
        update = Update(reader, place, examples, config.slow, seed, anchor=reader, shards=parts)
        self._add(SLOW, chain, {(event, ""): update})

    def _add(self, row: str, chain: int, updates: Mapping[tuple[int, str], Update]) -> None:
        """Trains what is not there yet, and stores it. `updates`: by (event, document)."""
        known = {one.step: one for one in self._versions(row, chain)}
        if all(step in known and self.runtime.has_adapter(known[step].policy) for step, _ in updates):
            return
        started = time.monotonic()
        results = trained(self.runtime.writer, list(updates.values()))
        share = (time.monotonic() - started) / len(updates)
        made = [
            Version(
                row, chain, step, name, self._edit_key(chain, step), result.policies[0], update.base, 1.0, "",
                result.losses, result.steps, result.tokens, share,
            )
            for ((step, name), update), result in zip(updates.items(), results, strict=True)
        ]  # fmt: skip
        for one in made:
            if one.step in known:
                self.runtime.check_same([known[one.step].policy], [one.policy])
        self.runtime.ledger.add_versions([one for one in made if one.step not in known])

    def _edit_key(self, chain: int, event: int) -> str:
        edit = self.edits.get((chain, event))
        return edit.key if edit else ""

    # What is asked.

    def _ask(self, chain: int, event: int, arm: StreamArm, kept: KeptSoFar) -> None:
        """What an arm answers after an event: all questions that a document has answered by then, and at the end what
        it still knows besides."""
        stream = self.streams[chain]
        stage = Stage.sequence(arm.name, chain, event)
        by_document: dict[str, list[TimedQuestion]] = {}
        for question in asked_at(stream.questions, event):
            by_document.setdefault(question.document, []).append(question)
        lots = {
            (name, ASKED): [self._served(arm, kept, one.id, one.question, one.answer_at(event)) for one in own]
            for name, own in by_document.items()
        }
        if event == len(stream.events):
            asked = self.probe.questions
            lots[PROBE, KNOWN_STILL] = [self._served(arm, kept, q.question_id, q.question, q.gold) for q in asked]
            if arm.kind in _OF_ONE_ADAPTER:
                who = {"none": kept.start, "merge": kept.merged, "other": kept.other}.get(arm.kind, kept.slow)
                lots[PROBE, FLUENT_STILL] = [(who, text) for text in self.probe.texts]
                more = [self._served(arm, kept, q.question_id, q.question, q.gold) for q in self.more]
                lots |= {(MORE, KNOWN_STILL): more} if more else {}
        known = {(one.context_id, one.method): one for one in self.runtime.ledger.outcomes(stage)}
        if lots.keys() <= known.keys():
            for key, pairs in lots.items():
                self._recall(pairs, known[key])
            return
        pairs = [pair for own in lots.values() for pair in own]
        fresh = [pair for pair in dict.fromkeys(pairs) if _place(*pair) not in self.answers]
        started = time.monotonic()
        self._answer(fresh, kept.start)
        pace = (time.monotonic() - started) / len(fresh) if fresh else 0.0
        outcomes = []
        for (name, method), own in lots.items():
            queries = [query for _, query in own]
            found = [replace(self.answers[_place(*pair)], question_id=pair[1].question_id) for pair in own]
            graded = self._graded(queries, found, is_spoken=method != FLUENT_STILL)
            mark = digest(stage.name, name, method, [(who.digest, query.prompt.text, query.gold) for who, query in own])
            outcomes.append(Outcome(mark, stage, method, name, "", 0, 0, graded, seconds=pace * len(own)))
        self.runtime.ledger.add_outcomes(outcomes)
        self.runtime.note_usage(stage, "judge", self.runtime.judge)

    def _graded(self, queries: Sequence[Query], found: Sequence[Answer], is_spoken: bool) -> tuple[GradedAnswer, ...]:
        """Verdicts, but for what nobody can know any more and for general text, which have none."""
        due = [(query, one) for query, one in zip(queries, found, strict=True) if is_spoken and query.gold]
        fresh = iter(self.runtime.grade([query for query, _ in due], [one for _, one in due]) if due else ())
        return tuple(
            next(fresh)
            if is_spoken and query.gold
            else GradedAnswer(
                one.question_id, query.question, "", one.text, one.gold_logprob, "ungraded", False, 0.0, False
            )
            for query, one in zip(queries, found, strict=True)
        )

    def _agree(self, reader: Policy, asked: Sequence[tuple[DocumentEvent, str, str]]) -> list[bool]:
        """Which of these questions the reader answers so, with the document in sight."""
        self.runtime.progress.stage(f"the reader checks {len(asked)} questions", 1)
        queries = [
            put_timed(str(number), question, answer, [document_text(event.title, event.text)])
            for number, (event, question, answer) in enumerate(asked)
        ]
        asker = Asker(self.runtime.writer, reader, self.config.inner, ANSWER_TOKENS, self.config.cut_for)
        [answers] = asker.ask([(reader, queries)])
        self.runtime.progress.advance()
        return [exact(query.gold, one.text) for query, one in zip(queries, answers, strict=True)]

    def _served(self, arm: StreamArm, kept: KeptSoFar, name: str, question: str, gold: str) -> tuple[Policy, Query]:
        who, documents = kept.serve(arm, question)
        return who, put_timed(name, question, gold, documents)

    def _answer(self, pairs: Sequence[tuple[Policy, Query]], reader: Policy) -> None:
        by_policy: dict[Policy, list[Query]] = {}
        for who, query in pairs:
            by_policy.setdefault(who, []).append(query)
        numbered = {
            who: [replace(query, question_id=str(number)) for number, query in enumerate(own)]
            for who, own in by_policy.items()
        }
        asker = Asker(self.runtime.writer, reader, self.config.inner, ANSWER_TOKENS, self.config.cut_for)
        for (who, own), answers in zip(by_policy.items(), asker.ask(list(numbered.items())), strict=True):
            self.answers.update((_place(who, query), answer) for query, answer in zip(own, answers, strict=True))

    def _recall(self, pairs: Sequence[tuple[Policy, Query]], outcome: Outcome) -> None:
        for (who, query), answer in zip(pairs, outcome.answers, strict=True):
            self.answers[_place(who, query)] = Answer(answer.question_id, answer.text, answer.gold_logprob)


def _place(who: Policy, query: Query) -> tuple[str, str, str]:
    return who.digest, query.prompt.text, query.gold


def streams_of(config: StreamConfig) -> tuple[DocumentStream, ...]:
    """Every stream of a run.

    Raises:
        SelfeditError: its file cannot be used.
    """
    return tuple(config.task_args.stream(number) for number in range(config.streams))


def reader_examples(n: int, seed: int) -> tuple[Example, ...]:
    """Questions with their answers, each of a world of its own, in sight of the documents that say the answer and of
    others, or of none; in no words of an exam."""
    return tuple(_reader_example(random.Random(seeds.derive("reader", seed, number))) for number in range(n))


def _reader_example(rng: random.Random) -> Example:
    stream = make_document_stream(_READER_WORLDS + rng.randrange(10**9), 8, 3, 0.4, 0)
    end = len(stream.events)
    documents = stream.documents_at(end)
    valid = stream.valid_facts(end)
    facts = {fact.key: fact for one in documents for fact in one.facts if (one.number, fact.key) in valid}
    fact = facts[rng.choice(sorted(facts))]
    saying = [one for one in documents if any(own.key == fact.key for own in one.facts)]
    others = [one for one in documents if one not in saying]
    size = rng.choice(_READER_SIGHT)
    shown = [*saying, *rng.sample(others, min(max(0, size - len(saying)), len(others)))] if size else []
    sight = [document_text(one.title, one.text) for one in sorted(shown, key=lambda one: one.number)]
    return put_answered(rng.choice(list(study_questions(fact))), fact.value, sight)
