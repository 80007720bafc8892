"""L1. Texts that go on while the adapter of each changes: one slot of the bank for each.

At a boundary the adapter trains some steps more, the visible text is measured before and after, and what is past the
window goes. Keys and values are those of the adapter as it is: they are made anew when it has changed, and only then.

1. Training goes on from the slot's weights, with a new optimiser at each boundary: its few steps are all alike.
2. The adapters live in rows of this object, not in the bank, which the engine may use for other things in between.
3. Beside the keys as they ought to be, those may be kept that each piece got when it was read (`is_stale`), so that
   what making them anew brings can be measured. Their places stay those that the text had without a window.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, cast

import torch

from selfedit import seeds
from selfedit.engine.forward.attention import KVCache
from selfedit.engine.forward.body import body, inputs
from selfedit.engine.forward.packing import Tokens, batches_of, on_device, pack
from selfedit.engine.forward.scoring import mean_logprobs, next_logits
from selfedit.engine.generate.decoding import Request
from selfedit.engine.model import tokenization
from selfedit.engine.model.control_tokens import text_ids
from selfedit.engine.replies import ROOM
from selfedit.engine.train.adapters import TrainingJob, job_of, train
from selfedit.errors import SelfeditError
from selfedit.records import (
    UNTOUCHED,
    Candidates,
    MidAnswer,
    MidQuestion,
    MidStudied,
    MidStudy,
    Policy,
    TrainingConfig,
    Trial,
    TrialSpec,
)

if TYPE_CHECKING:
    from selfedit.engine.engine import TorchEngine

_STRIDE = 64
"""Tokens by which the room for keys grows."""
Ids = tuple[int, ...]
Reader = tuple[int, int]
"""(text, the text whose adapter reads it; -1 for none)."""


@dataclass(slots=True)
class _Read:
    """Keys and values of a text."""

    cache: KVCache
    ids: Ids
    """The tokens that they are of."""
    version: int
    """How often the adapter that made them had changed."""
    first: int = 0
    """The place of the first of them."""


@dataclass(slots=True)
class _Text:
    """A text under way."""

    row: torch.Tensor
    """Its adapter, a row of the bank's weights."""
    begin: Ids = ()
    """What every text of this model begins with, the visible part of one too."""
    pieces: list[Ids] = field(default_factory=list)
    """What is visible."""
    version: int = 0
    """How often the adapter has changed."""
    stale: _Read | None = None
    """Keys as they were made when each piece was read; None before the first, and where nobody asks for them."""

    @property
    def ids(self) -> Ids:
        """Of what is visible."""
        return (*self.begin, *(token for piece in self.pieces for token in piece))


class AdaptedTexts:
    """Implements `protocols.MovingTexts` on an engine.

    Args:
        count: how many texts go on side by side.
        training: how each adapter is made, and how it trains at a boundary; its epochs are the steps there.
        base: the version that lies beneath all of them.
        seed: the adapters' first draw.
        is_stale: whether the keys that pieces got when they were read are kept too.

    Raises:
        SelfeditError: such adapters fit onto no layer of this model.
    """

    def __init__(
        self,
        engine: TorchEngine,
        count: int,
        training: TrainingConfig,
        base: Policy = UNTOUCHED,
        seed: int = 0,
        is_stale: bool = False,
    ) -> None:
        self.engine, self.training, self.base, self.is_stale = engine, training, base, is_stale
        self._scale = training.alpha / training.rank
        self._mark: object = None
        self._held: dict[Reader, _Read] = {}
        self._count = count
        self._lay_out()
        engine.bank.fill(0, training, seeds.derive(seed, "init") % 2**31)
        row = engine.bank.weights[0].clone()
        begin = tuple(text_ids(engine.tokenizer, "", is_begun=False))
        self._texts = [_Text(row.clone(), begin) for _ in range(count)]

    def read(self, pieces: Sequence[tuple[int, str]]) -> list[int]:
        """See `protocols.MovingTexts.read`."""
        most, lengths = self.engine.max_context, []
        for number, piece in pieces:
            text = self._texts[number]
            ids = tuple(text_ids(self.engine.tokenizer, piece, is_begun=True))
            first = text.stale.first if text.stale else 0
            if first + len(text.ids) + len(ids) > most:
                told = f"a piece of {len(ids)} tokens behind {len(text.ids)} that are visible"
                raise SelfeditError(f"{told} exceeds the model's context of {most}")
            text.pieces.append(ids)
            lengths.append(len(ids))
        if self.is_stale:
            self._ready()
            for number, _ in pieces:
                self._read_on(number)
        return lengths

    def study(self, studies: Sequence[MidStudy], tolerance: float) -> list[MidStudied]:
        """See `protocols.MovingTexts.study`."""
        started = time.perf_counter()
        self._ready()
        able = [one for one in studies if one.examples]
        before = self._losses([one.text for one in able])
        trials = [Trial("", TrialSpec(one.examples, ()), self._training_of(one), one.seed) for one in able]
        jobs = [job_of(self.engine.tokenizer, trial, self.engine.max_context) for trial in trials]
        ready = [
            replace(job, start=self._texts[one.text].row)
            for job, one in zip(jobs, able, strict=True)
            if isinstance(job, TrainingJob)
        ]
        engine = self.engine
        engine.holder.is_recomputed = engine.sizes.is_recomputed
        begun = time.perf_counter()
        done = iter(train(engine.model, engine.holder, engine.bank, ready, engine.sizes.pack_tokens, engine.lower))
        in_steps = (time.perf_counter() - begun) / max(1, len(ready))
        found: dict[int, MidStudied] = {}
        rows: dict[int, torch.Tensor] = {}
        for one, job in zip(able, jobs, strict=True):
            if not isinstance(job, TrainingJob):
                found[one.text] = MidStudied(failure=job.reason)
                continue
            trained = next(done)
            spent = tuple(trained.losses), trained.steps, trained.tokens
            found[one.text] = MidStudied(False, 0.0, 0.0, *spent, failure=trained.failure, training_seconds=in_steps)
            if trained.row is not None:
                rows[one.text] = trained.row
        self._check(able, before, rows, found, tolerance)
        for one in studies:
            self._evict(one.text, one.keep)
        seconds = (time.perf_counter() - started) / max(1, len(studies))
        return [replace(found.get(one.text, MidStudied()), seconds=seconds) for one in studies]

    def _training_of(self, study: MidStudy) -> TrainingConfig:
        return replace(self.training, epochs=study.passes) if study.passes else self.training

    def ask(self, questions: Sequence[MidQuestion]) -> list[MidAnswer]:
        """See `protocols.MovingTexts.ask`."""
        self._ready()
        chosen = {i: one for i, one in enumerate(questions) if one.prompt is None}
        written = {i: one for i, one in enumerate(questions) if one.prompt is not None}
        found = dict(zip(chosen, self._choose(list(chosen.values())), strict=True))
        found.update(zip(written, self._write(list(written.values())), strict=True))
        return [found[i] for i in range(len(questions))]

    def _check(
        self,
        able: Sequence[MidStudy],
        before: Sequence[float],
        rows: dict[int, torch.Tensor],
        found: dict[int, MidStudied],
        tolerance: float,
    ) -> None:
        """The new adapters take their places, but for those that made the visible text less likely."""
        for number in range(self._count):
            self.engine.bank.load_row(number, rows.get(number, self._texts[number].row), self._scale)
        after = self._losses([one.text for one in able])
        for one, was, now in zip(able, before, after, strict=True):
            text, row = self._texts[one.text], rows.get(one.text)
            is_kept = row is not None and now - was <= tolerance
            found[one.text] = replace(found[one.text], is_kept=is_kept, loss_before=was, loss_after=now)
            if is_kept:
                assert row is not None
                text.row, text.version = row, text.version + 1
            else:
                self.engine.bank.load_row(one.text, text.row, self._scale)

    def _losses(self, numbers: Sequence[int]) -> list[float]:
        """Of the visible texts, nats per token; 0 where there is nothing to predict."""
        engine = self.engine
        able = [number for number in numbers if len(self._texts[number].ids) > 1]
        windows = [Tokens(self._texts[number].ids, 1) for number in able]
        room = ROOM * engine.sizes.pack_tokens
        found = mean_logprobs(engine.model, engine.holder, windows, able, room, engine.lower)
        by_text = dict(zip(able, found, strict=True))
        return [-by_text.get(number, 0.0) for number in numbers]

    def _evict(self, number: int, keep: int) -> None:
        text = self._texts[number]
        gone = sum(map(len, text.pieces[: max(0, len(text.pieces) - keep)]))
        text.pieces = text.pieces[max(0, len(text.pieces) - keep) :]
        if text.stale is not None and gone:
            n, at = len(text.stale.ids), len(text.begin)
            for store in (*text.stale.cache.keys, *text.stale.cache.values):
                store[:, :, at : n - gone] = store[:, :, at + gone : n].clone()
            text.stale = replace(text.stale, ids=text.ids, first=text.stale.first + gone)

    def _choose(self, questions: Sequence[MidQuestion]) -> list[MidAnswer]:
        """The likeliest value at each place, as greedy decoding under a grammar of these values finds it where their
        first tokens differ."""
        asked = [_Asked(self.engine, i, one) for i, one in enumerate(questions)]
        sequences = [(one.number, ids, n) for one in asked for ids, n in one.sequences()]
        logprobs = self._continue([(questions[i], ids, n) for i, ids, n in sequences])
        found: dict[int, dict[tuple[Ids, int], torch.Tensor]] = {}
        for (number, ids, n), one in zip(sequences, logprobs, strict=True):
            found.setdefault(number, {})[ids, n] = one
        return [one.answer(found.get(one.number, {})) for one in asked]

    @torch.no_grad()
    def _continue(self, sequences: Sequence[tuple[MidQuestion, Ids, int]]) -> list[torch.Tensor]:
        """For each sequence behind its text, the log-probabilities [n, vocabulary] after its last n tokens."""
        engine, found = self.engine, {}
        read = self._heads([question for question, _, _ in sequences])
        owners = [read[question] for question, _, _ in sequences]
        order = sorted(range(len(sequences)), key=lambda i: owners[i][0])
        tokens = [Tokens(ids, len(ids)) for _, ids, _ in sequences]
        rows = engine.sizes.rows
        for at in range(0, len(order), rows):
            some = order[at : at + rows]
            heads = [owners[i][1] for i in some]
            longest = max(len(head.ids) + len(tokens[i].ids) for i, head in zip(some, heads, strict=True))
            cache = KVCache(rows=len(some), length=max(longest, *(head.cache.length for head in heads)))
            for row, head in enumerate(heads):
                if head.ids:
                    cache.copy_row(head.cache, 0, row)
            for part in batches_of([tokens[i] for i in some], range(len(some)), ROOM * engine.sizes.pack_tokens):
                ids = [tokens[some[row]] for row in part]
                slots = [owners[some[row]][0] for row in part]
                packed = self._follow(ids, slots, cache, part, [heads[row] for row in part])
                ends = list(accumulate(packed.lengths))
                wanted = [sequences[some[part[owner]]][2] for owner in packed.owners]
                places = [end - n + k for end, n in zip(ends, wanted, strict=True) for k in range(n)]
                [keep] = on_device([places], engine.model.device)
                logits = next_logits(engine.model, engine.holder, packed.ids, packed.positions, keep)
                parts = logits.float().log_softmax(-1).split(wanted)
                found.update({some[part[owner]]: one for owner, one in zip(packed.owners, parts, strict=True)})
        return [found[i] for i in range(len(sequences))]

    def _follow(self, tokens, slots, cache, rows, heads):
        """Plan a pass of these sequences, each behind what its row of the cache holds already."""
        engine = self.engine
        firsts = [head.first + len(head.ids) for head in heads]
        packed = pack(tokens, slots, engine.model.device, firsts)
        row_of: list[int] = []
        places: list[int] = []
        starts: list[tuple[int, int]] = []
        for owner, n in zip(packed.owners, packed.lengths, strict=True):
            held = len(heads[owner].ids)
            row_of += [rows[owner]] * n
            places += range(held, held + n)
            starts.append((rows[owner], held))
        rows_T, places_T = on_device((row_of, places), engine.model.device)
        fields = {"cache": cache, "cache_rows": rows_T, "cache_places": places_T}
        engine.holder.follow(
            packed.segments, engine.model.device, engine.model.dtype, lengths=packed.lengths, starts=starts, **fields
        )
        return packed

    def _heads(self, questions: Sequence[MidQuestion]) -> dict[MidQuestion, tuple[int, _Read]]:
        """For each question whose adapter answers, and the keys of what stands before it; each made once."""
        made: dict[tuple[int, int, str, str], _Read] = {}
        found = {}
        for one in dict.fromkeys(questions):
            (text, adapter), head = self._window(one)
            key = text, adapter, one.keys, one.behind
            if one.behind and key not in made:
                ids = tuple(text_ids(self.engine.tokenizer, one.behind, is_begun=True))
                made[key] = self._extended(head, (*head.ids, *ids), adapter, is_apart=True)
            found[one] = adapter, made.get(key, head)
        return found

    def _window(self, question: MidQuestion) -> tuple[Reader, _Read]:
        """(text and adapter, keys of the visible text) of a question."""
        adapter = question.text if question.adapter is None else question.adapter
        reader = question.text, adapter
        if not question.is_behind_text:
            return reader, _Read(KVCache(), (), 0)
        if question.keys == "stale":
            held = self._texts[question.text].stale
            assert held is not None, "stale keys were asked for, and none are kept"
            return reader, held
        return reader, self._fresh(reader)

    def _fresh(self, reader: Reader) -> _Read:
        """Keys of a text's window as this adapter makes them now; only what is new is passed where it is as it was."""
        ids = self._texts[reader[0]].ids
        version = self._texts[reader[1]].version if reader[1] >= 0 else 0
        held = self._held.get(reader)
        if held is None or held.version != version or ids[: len(held.ids)] != held.ids:
            held = _Read(KVCache(), (), version)
        self._held[reader] = self._extended(held, ids, reader[1])
        return self._held[reader]

    def _read_on(self, number: int) -> None:
        """The newest pieces get the keys that the adapter makes of them now, for good."""
        text = self._texts[number]
        held = text.stale or _Read(KVCache(), (), 0)
        text.stale = self._extended(held, text.ids, number)

    @torch.no_grad()
    def _extended(self, held: _Read, ids: Ids, slot: int, is_apart: bool = False) -> _Read:
        """With the keys of all of `ids`, of which it has the first. `is_apart`: what is held is left as it is."""
        rest = ids[len(held.ids) :]
        if not rest:
            return held
        length = -(-len(ids) // _STRIDE) * _STRIDE
        cache = held.cache if held.cache.length >= length and not is_apart else KVCache(rows=1, length=length)
        if cache is not held.cache and held.ids:
            cache.copy_row(held.cache, 0, 0)
        packed = self._follow([Tokens(rest, len(rest))], [slot], cache, [0], [held])
        body(self.engine.model)(**inputs(packed.ids, packed.positions))
        return replace(held, cache=cache, ids=ids)

    def _write(self, questions: Sequence[MidQuestion]) -> list[MidAnswer]:
        """Replies, drawn."""
        requests = []
        for one in questions:
            assert one.prompt is not None
            if one.is_behind_text:
                behind = text_ids(self.engine.tokenizer, one.behind + one.prompt.text, is_begun=True)
                ids = (*self._texts[one.text].ids, *behind)
            else:
                ids = tokenization.prompt_ids(self.engine.tokenizer, one.prompt)
            if len(ids) + one.sampling.max_new_tokens > self.engine.max_context:
                raise SelfeditError(f"a prompt of {len(ids)} tokens with its reply exceeds the model's context")
            slot = one.text if one.adapter is None else one.adapter
            requests.append(Request(ids, slot, one.sampling, one.seed, one.is_one_line, one.prompt.json_schema))
        if not requests:
            return []
        decoder = self.engine.speaker.decoder
        decoder.max_rows, decoder.max_tokens = self.engine.sizes.rows, ROOM * self.engine.sizes.pack_tokens
        drawn = decoder.generate(requests)
        return [MidAnswer(reply=self.engine.speaker.text(ids), is_finished=ended) for ids, ended in drawn]

    def _ready(self) -> None:
        """The bank as these texts want it, whatever it was used for in between."""
        self.engine.lay_beneath(self.base)
        if self._mark is self.engine.bank.weights:
            return
        self._lay_out()
        for number, text in enumerate(self._texts):
            self.engine.bank.load_row(number, text.row, self._scale)

    def _lay_out(self) -> None:
        self.engine.lay_beneath(self.base)
        below, names = self.engine.adapted(self.training)
        self.engine.reserve(self._count, self.training.rank, below, names)
        self._mark = self.engine.bank.weights


class ReadsOn:
    """What an engine does to implement `protocols.MovesOn`."""

    def moving(
        self, count: int, training: TrainingConfig, base: Policy = UNTOUCHED, is_stale: bool = False, seed: int = 0
    ) -> AdaptedTexts:
        """See `protocols.MovesOn.moving`."""
        return AdaptedTexts(cast("TorchEngine", self), count, training, base, seed, is_stale)

    def count_tokens(self, text: str) -> int:
        """See `protocols.MovesOn.count_tokens`."""
        return len(text_ids(cast("TorchEngine", self).tokenizer, text, is_begun=True))


class _Asked:
    """A question with its values as tokens."""

    def __init__(self, engine: TorchEngine, number: int, question: MidQuestion) -> None:
        self.number, self.question = number, question
        self._places: list[tuple[Ids, dict[str, Ids], Candidates]] = []
        before: Ids = ()
        for place in question.places:
            before += tuple(text_ids(engine.tokenizer, place.before, is_begun=True))
            values = {value: tuple(text_ids(engine.tokenizer, value, is_begun=True)) for value in place.values}
            self._places.append((before, values, place))
            before += values[place.gold]

    def sequences(self) -> list[tuple[Ids, int]]:
        """(tokens behind the text, how many of the last must tell what comes next), each once."""
        found = [(before, 1) for before, _, _ in self._places]
        for before, values, _ in self._places:
            found += [((*before, *ids[:-1]), len(ids)) for ids in values.values() if len(ids) > 1]
        return list(dict.fromkeys(found))

    def answer(self, logprobs: dict[tuple[Ids, int], torch.Tensor]) -> MidAnswer:
        """The likeliest value at each place."""
        chosen, gold, n_gold = [], 0.0, 0
        for before, values, place in self._places:
            sums = {}
            for value, ids in values.items():
                rows = logprobs[(*before, *ids[:-1]), len(ids)]
                sums[value] = float(sum(rows[k, token] for k, token in enumerate(ids)))
            chosen.append(max(sums, key=lambda value: sums[value]))
            gold, n_gold = gold + sums[place.gold], n_gold + len(values[place.gold])
        return MidAnswer(tuple(chosen), gold / max(1, n_gold))
