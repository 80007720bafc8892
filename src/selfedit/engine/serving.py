"""L1. Texts of many versions token by token, as a server wants them: versions in slots, requests in rows.

1. Nothing lies beneath the bank: each version has all that it lies on in its slot, so that the untouched model and any
   version stand in one batch. A version's adapter stays in its slot until another one needs the place.
2. The engine may do other things between two steps. What they did to the bank is noticed, and made good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from selfedit.engine.generate.decoding import Request, WrittenRow
from selfedit.engine.generate.live import LiveRows
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model import memory, tokenization
from selfedit.engine.replies import ROOM
from selfedit.errors import SelfeditError, UnfitText
from selfedit.records import UNTOUCHED, Ending, LivePiece, LiveRequest, Policy, Refused, TokenChance
from selfedit.shortage import is_out_of_memory

if TYPE_CHECKING:
    from selfedit.engine.engine import TorchEngine

_MOST_LETTERS = 32
"""Letters per token of the context, beyond which a prompt is too long without being counted."""
_LEAD = 4
"""Tokens of the prompt that a text is read behind: what a token spells depends on its neighbours."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class _Told:
    """How much of a text has been told."""

    ids: list[int]
    """Some tokens of the prompt, then those of the text."""
    lead: int
    """Tokens from here on are read together …"""
    read: int
    """… and what those before this one spell has been told."""
    count: int = 0
    """Tokens of the text that have been told."""


@dataclass(slots=True)
class _Slots:
    """Versions at hand, the one used longest ago first."""

    held: OrderedDict[str, tuple[int, Matrices]] = field(default_factory=OrderedDict)
    """By digest: (slot, adapter)."""
    mark: object = None
    """The bank's weights as they were laid out for these; others: something else has used the bank."""


class LiveTexts:
    """Implements `protocols.LiveWriter` on an engine.

    Args:
        rows: texts at once.
        versions: versions at once.
    """

    def __init__(self, engine: TorchEngine, rows: int, versions: int) -> None:
        self.engine, self.speaker = engine, engine.speaker
        self.most_versions = versions
        self._slots = _Slots()
        half = memory.free_bytes(engine.model.device) // 2
        self.live = LiveRows(self.speaker.decoder, rows, half)
        self._told: dict[int, _Told] = {}

    @property
    def versions(self) -> int:
        """See `protocols.LiveWriter.versions`."""
        return len(self._slots.held)

    def join(self, requests: Sequence[LiveRequest]) -> list[int | Refused | None]:
        """See `protocols.LiveWriter.join`."""
        joined: list[int | Refused | None] = [None] * len(requests)
        joining: list[tuple[int, Request]] = []
        for i, one in enumerate(requests):
            asked = self._request(one)
            if isinstance(asked, Refused):
                joined[i] = asked
                continue
            if not self.live.has_room([*(request for _, request in joining), asked]):
                break
            slot = self._slot(one.base, {request.slot for _, request in joining})
            if isinstance(slot, Refused):
                joined[i] = slot
                continue
            if slot is None:
                break
            joining.append((one.key, replace(asked, slot=slot)))
            joined[i] = len(asked.prompt)
        refusal = self._admit(joining) if joining else None
        if refusal:
            keys = {key for key, _ in joining}
            return [
                (refusal if len(keys) == 1 or not self.live.rows else None) if one.key in keys else was
                for one, was in zip(requests, joined, strict=True)
            ]
        return joined

    def _admit(self, joining: Sequence[tuple[int, Request]]) -> Refused | None:
        """Passes the prompts; why not, where there is no memory for them."""
        try:
            self._ready()
            self.live.join(joining)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            memory.give_back_freed_memory(self.engine.model.device)
            self.live.most_bytes //= 2
            return Refused("memory", "there is no memory for this text beside those under way; try again later")
        for key, request in joining:
            lead = list(request.prompt[-_LEAD:])
            self._told[key] = _Told(lead, 0, len(lead))
        return None

    def step(self) -> list[LivePiece]:
        """See `protocols.LiveWriter.step`."""
        if not self._told:
            return []
        if self.live.rows:
            self._ready()
            self.live.step()
        ended, self.live.ended = self.live.ended, []
        pieces = [self._piece(row) for row in (*ended, *self.live.rows) if row.index in self._told]
        for piece in pieces:
            if piece.ending:
                del self._told[piece.key]
        if any(row.is_done for row in self.live.rows):
            self.live.arrange()
        return pieces

    def leave(self, keys: Iterable[int]) -> None:
        """See `protocols.LiveWriter.leave`."""
        gone = [key for key in keys if self._told.pop(key, None)]
        if gone:
            self.live.leave(gone)

    def _request(self, one: LiveRequest) -> Request | Refused:
        """As the decoder takes it, without its slot."""
        prompt, most = one.prompt, self.engine.max_context
        letters = sum(map(len, (prompt.text, prompt.system, *(part for turn in prompt.history for part in turn))))
        if letters > _MOST_LETTERS * most:
            return Refused("too_long", f"a prompt of {letters:,} letters exceeds the model's context of {most} tokens")
        try:
            ids = tokenization.prompt_ids(self.speaker.tokenizer, prompt)
        except UnfitText as error:
            return Refused("unfit", str(error))
        except ValueError as error:  # what a tokenizer makes of one text must not end the others
            return Refused("unfit", " ".join(str(error).split())[:160])
        if not ids:
            return Refused("unfit", "the prompt is empty")
        sampling = one.sampling
        if one.is_clipped:
            sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, max(1, most - len(ids))))
        if len(ids) + sampling.max_new_tokens > most:
            told = f"a prompt of {len(ids)} tokens with up to {sampling.max_new_tokens} for the text"
            return Refused("too_long", f"{told} exceeds the model's context of {most}")
        request = Request(ids, -1, sampling, one.seed, one.is_one_line, prompt.json_schema, one.top_logprobs)
        try:
            self.speaker.decoder.constraint(request)
        except SelfeditError as error:
            return Refused("schema", str(error))
        return request

    def _slot(self, policy: Policy, wanted: set[int]) -> int | Refused | None:
        """The slot of a version, which is made room for; -1 for the untouched model. None: those in slots are all in
        use, by what is under way or by `wanted`."""
        if not policy.adapter:
            return -1
        held = self._slots.held
        if policy.digest in held:
            held.move_to_end(policy.digest)
            return held[policy.digest][0]
        used = {row.request.slot for row in self.live.rows} | wanted
        free = sorted(set(range(self.most_versions)) - {slot for slot, _ in held.values()})
        idle = [digest for digest, (slot, _) in held.items() if slot not in used]
        if not free and not idle:
            return None
        try:
            matrices = self.engine.load(policy)
        except SelfeditError as error:
            return Refused("missing", str(error))
        slot = free[0] if free else held.pop(idle[0])[0]
        held[policy.digest] = slot, matrices
        self._fill(slot, matrices)
        return slot

    def _fill(self, slot: int, matrices: Matrices) -> None:
        """Puts an adapter into its slot, where the bank has been laid out so that it fits; else it is laid out anew."""
        bank = self.engine.bank
        mark, self._slots.mark = self._slots.mark, None
        if mark is None or mark is not bank.weights:
            return
        if set(matrices) <= set(bank.places) and peft_format.highest_rank([matrices]) <= bank.rank:
            bank.load_matrices(slot, matrices)
            self._slots.mark = mark

    def _ready(self) -> None:
        """The bank as the rows want it."""
        self.engine.lay_beneath(UNTOUCHED)
        self.speaker.decoder.max_tokens = ROOM * self.engine.sizes.pack_tokens
        bank, held = self.engine.bank, self._slots.held
        if not held or self._slots.mark is bank.weights:
            return
        every = [matrices for _, matrices in held.values()]
        names = {name for matrices in every for name in matrices}
        ordered = [name for name in bank.layers if name in names]
        self.engine.reserve(self.most_versions, peft_format.highest_rank(every), 0, ordered)
        for slot, matrices in held.values():
            bank.load_matrices(slot, matrices)
        self._slots.mark = bank.weights

    def _piece(self, row: WrittenRow) -> LivePiece:
        told = self._told[row.index]
        fresh, chances = row.written[told.count :], row.chances[told.count :]
        spelt, ending = fresh, self._ending(row)
        if row.is_done and row.written[-1] in self.speaker.decoder.stop_ids:
            spelt, chances = fresh[:-1], chances[: len(fresh) - 1]
        told.ids += spelt
        told.count += len(fresh)
        noted = tuple(self._chance(token, *chance) for token, chance in zip(spelt, chances, strict=bool(chances)))
        return LivePiece(row.index, self._more(told, bool(ending)), len(spelt), noted, ending)

    def _ending(self, row: WrittenRow) -> Ending:
        if not row.is_done:
            return ""
        return "stop" if self.speaker.decoder.result(row)[1] else "length"

    def _more(self, told: _Told, is_last: bool) -> str:
        """What the newest tokens spell, up to the last whole character."""
        before = self.speaker.spoken(told.ids[told.lead : told.read])
        now = self.speaker.spoken(told.ids[told.lead :])
        if len(now) <= len(before) or (now.endswith(_BROKEN) and not is_last):
            return ""
        told.lead, told.read = told.read, len(told.ids)
        return now[len(before) :]

    def _chance(self, token: int, logprob: float, likeliest: list[tuple[int, float]]) -> TokenChance:
        return TokenChance(self._spelt(token), logprob, tuple((self._spelt(i), p) for i, p in likeliest))

    def _spelt(self, token: int) -> str:
        return str(self.speaker.tokenizer.decode([token]))
