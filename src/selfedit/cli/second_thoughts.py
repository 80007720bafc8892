"""L5. What thinking again did to a puzzle, as `solve` tells it: round by round, in words and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfedit.records import Outcome, Rethought, Tally
from selfedit.store import Ledger


@dataclass(frozen=True, slots=True)
class SecondThought:
    """One round."""

    round: int
    """Which one, from 1."""
    held_out: int
    """Demonstrations that were held out and asked."""
    held_out_right: int
    """Of these, how many came out right by what most views said; the others were studied more."""
    threshold: float | None
    """Agreement from which on an answer is trusted; None where no demonstration could be held out."""
    agreement: tuple[float, ...]
    """For each test input, which share of its views agreed before."""
    trusted: tuple[bool, ...]
    """Whether that answer was then studied as if it were a demonstration."""
    agreement_after: tuple[float, ...] | None
    """The same share afterwards; None where there was nothing to study, or the study failed: the attempts stand."""
    is_changed: bool
    """Whether the attempts are others now."""
    failure: str
    """Why the study failed; empty where it did not."""


def second_thoughts(ledger: Ledger, context_id: str, own: Sequence[Outcome]) -> tuple[SecondThought, ...]:
    """The rounds of one puzzle, of whose outcomes `own` are; none where it was not thought about again."""
    rounds = [one for _, one in ledger.rethoughts() if one.context_id == context_id]
    tallies = {one.key: one.tallies for _, one in ledger.tallies()}
    by_key = {one.key: one for one in own}
    return tuple(_told(one, tallies, by_key) for one in sorted(rounds, key=lambda one: one.round))


def _told(one: Rethought, tallies: Mapping[str, Sequence[Tally]], by_key: Mapping[str, Outcome]) -> SecondThought:
    beliefs, after = one.beliefs, tallies.get(one.next_key)
    before, now = by_key[one.key], by_key[one.next_key]
    return SecondThought(
        round=one.round,
        held_out=len(beliefs.held_out),
        held_out_right=sum(part.is_correct for part in beliefs.held_out),
        threshold=beliefs.threshold if beliefs.held_out else None,
        agreement=tuple(answer.agreement for answer in beliefs.answers),
        trusted=tuple(answer.is_trusted for answer in beliefs.answers),
        agreement_after=None if one.is_idle or after is None else tuple(tally.agreement for tally in after),
        is_changed=now.status == "done" and _attempts(now) != _attempts(before),
        failure=now.failure,
    )


def _attempts(one: Outcome) -> list[str]:
    return [answer.text for answer in one.answers]


def in_words(one: SecondThought) -> str:
    """One round in a line."""
    counted = f"of {one.held_out} demonstrations held out {one.held_out_right} came out right"
    told = [f"thought again ({one.round}): {counted if one.held_out else 'no demonstration could be held out'}"]
    for number, (agreement, is_trusted) in enumerate(zip(one.agreement, one.trusted, strict=True), 1):
        told.append(f"test input {number}: {agreement:.0%} of views agree, {'' if is_trusted else 'not '}studied")
    if one.agreement_after is None:
        why = f"the study failed ({one.failure})" if one.failure else "nothing to study"
        return "; ".join([*told, f"{why}, the attempts stand"])
    shares = ", ".join(f"{share:.0%}" for share in one.agreement_after)
    return "; ".join([*told, f"now {shares} agree, attempts {'changed' if one.is_changed else 'as before'}"])
