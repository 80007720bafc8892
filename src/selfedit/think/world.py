"""L3. The world "past the window": invented streams of segments whose facts change, with lemmas and questions.

A stream is a text in segments. A segment states two facts about invented things among sentences that say nothing, and
ends with a *lemma*, a line that has to be derived: a look-up (the value of an earlier fact is passed on to a new
thing), or a join (two earlier lemmas' values in one line). Some facts are changed later. Questions are put in
mid-stream, where a lemma is to be derived, and at the end.

1. All values of a kind are equally likely, and a thing's name says nothing of them: who guesses is right once in eight
   times, and where two values are joined once in 64.
2. How old a question's answer is counts in segments since it was last said, in whatever words; a lemma says the values
   of what it was derived from once more.
3. Nothing here is drawn from a data set: names are made of syllables.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfedit import seeds
from selfedit.records import Candidates
from selfedit.think.lines import EditLine

SEGMENTS = 16
"""Of a stream."""
AGES = (1, 2, 4, 8, 12)
"""Segments since what is asked for was last said."""
END_ASKS = 12
"""Questions at a stream's end."""
_MID_AGES = (2, 1, 4, 4, 8, 8, 1, 2, 12, 12, 8, 4)
"""Wanted ages of what the last lemmas rest on, a lemma a segment: these are asked."""
_FACTS = 2
"""Statements of a segment, before its lemma."""
LINES = _FACTS + 1
"""Lines that an oracle writes about a segment."""
_CHANGED = 0.3
"""Share of facts that are changed later."""
_WORDS = 92
"""Of a segment, at most: with its names some 120 tokens of SmolLM2's."""
_FIRST_ASKED = SEGMENTS - len(_MID_AGES)
Kind = Literal["fact", "look-up", "join"]
"""What is asked for: a fact; a lemma that passes a value on; one that joins two."""

KINDS: dict[str, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "yellow", "black", "white", "brown", "pink"),
    "metal": ("iron", "gold", "silver", "copper", "tin", "lead", "zinc", "steel"),
    "animal": ("dog", "cat", "horse", "wolf", "bear", "lion", "fox", "goat"),
    "city": ("Paris", "London", "Rome", "Berlin", "Madrid", "Vienna", "Tokyo", "Cairo"),
    "food": ("bread", "rice", "fish", "soup", "cheese", "milk", "honey", "corn"),
    "tree": ("oak", "pine", "maple", "elm", "cedar", "birch", "ash", "willow"),
}
"""What things have, each with its eight values."""
_STARTS = (
    "Vel",
    "Tos",
    "Bren",
    "Kal",
    "Mor",
    "Zan",
    "Pel",
    "Dru",
    "Fen",
    "Gar",
    "Hul",
    "Jor",
    "Lim",
    "Nev",
    "Quor",
    "Sil",
)
_ENDS = (
    "mar",
    "kin",
    "lo",
    "dra",
    "beth",
    "wick",
    "nus",
    "tal",
    "ver",
    "zo",
    "rian",
    "pash",
    "gol",
    "dine",
    "mo",
    "ska",
)
_STATED = (
    "The {kind} of {thing} is {value}.",
    "As for {thing}, its {kind} is {value}.",
    "{thing} has {value} as its {kind}.",
)
_CHANGES = (
    "From today on the {kind} of {thing} is {value}, no longer {old}.",
    "{thing} has been changed: its {kind} is now {value}.",
)
_FILLER = (
    "The road went on between low hills, and for a while nobody spoke.",
    "It had rained in the night, so the steps were still wet.",
    "Someone had left a door open, and the draught moved the papers.",
    "They counted the boxes twice and wrote the number down.",
    "The clerk came late, as he did on most days, and said nothing of it.",
    "A cart stood at the gate, half loaded, with nobody near it.",
    "They stopped for an hour, ate what they had, and went on.",
    "The list was long, and most of it had been seen to before noon.",
    "Nobody could say who had asked for it, or when it would be fetched.",
    "The lamp was put out early, since there was little left to do.",
    "One of them told an old story that all the others knew.",
    "The wind had turned, and with it the smell from the river.",
    "There was some talk about the price, but it came to nothing.",
    "The book was kept in the drawer, and the drawer was kept shut.",
    "After that they waited, since waiting was all that was left to do.",
    "The younger one slept, and the older one looked out of the window.",
)


@dataclass(frozen=True, slots=True)
class StreamQuestion:
    """A question with its answer."""

    id: str
    """Unique within its stream."""
    segment: int
    """After which segment it is put; where a lemma is derived, before its line is read."""
    is_mid: bool
    """True: a lemma is to be derived. False: asked at the end."""
    kind: Kind
    """What the answer is."""
    age: int
    """Segments since the last of what it rests on was said; the older of two where it is a join."""
    places: tuple[Candidates, ...]
    """The question with its values."""
    words: str
    """The question's own words, to search with."""
    old: str = ""
    """The value before the last change, with white space; empty where it never changed."""


@dataclass(frozen=True, slots=True)
class StreamSegment:
    """A part of a stream."""

    text: str
    """Its sentences, without the lemma."""
    lemma: str
    """Its last line."""
    notes: tuple[EditLine, ...]
    """What it says: its facts, and last its lemma."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A text in segments, with its questions."""

    id: str
    """Unique within a run."""
    segments: tuple[StreamSegment, ...]
    """In order."""
    questions: tuple[StreamQuestion, ...]
    """In the order in which they are put."""


def make_streams(name: str, count: int, seed: int) -> tuple[Stream, ...]:
    """`count` streams of the world of this name; another name, other streams."""
    return tuple(
        _Maker(f"{name}-{i}", random.Random(seeds.derive(seed, "stream", name, i))).stream() for i in range(count)
    )


@dataclass(slots=True)
class _Known:
    """What has been said of something."""

    kind: str
    thing: str
    value: str
    said: int
    """The segment in which its value was last said."""
    lemma: Kind = "fact"
    old: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    """Of a join: (kind, value) of both."""


class _Maker:
    """Makes one stream, segment by segment."""

    def __init__(self, id: str, rng: random.Random) -> None:
        self.id, self.rng = id, rng
        names = [start + end for start in _STARTS for end in _ENDS]
        rng.shuffle(names)
        self.names = iter(names)
        self.known: list[_Known] = []
        self.questions: list[StreamQuestion] = []
        self.changes = set(
            rng.sample(range(8, SEGMENTS * _FACTS), round(SEGMENTS * _FACTS * _CHANGED / (1 + _CHANGED)))
        )
        """Numbers of statements that change an earlier fact."""

    def stream(self) -> Stream:
        segments = tuple(self._segment(number) for number in range(SEGMENTS))
        self._ask_at_end()
        return Stream(self.id, segments, tuple(self.questions))

    def _segment(self, number: int) -> StreamSegment:
        stated = [self._fact(number, number * _FACTS + i) for i in range(_FACTS)]
        lemma, note = self._lemma(number)
        room = _WORDS - sum(len(text.split()) for text, _ in stated) - len(lemma.split())
        filler = list(_FILLER)
        self.rng.shuffle(filler)
        sentences = [text for text, _ in stated]
        for sentence in filler:
            if len(sentence.split()) > room:
                break
            room -= len(sentence.split())
            sentences.insert(self.rng.randrange(len(sentences) + 1), sentence)
        return StreamSegment(" ".join(sentences) + "\n", lemma + "\n", (*(n for _, n in stated), note))

    def _fact(self, segment: int, number: int) -> tuple[str, EditLine]:
        able = [one for one in self.known if one.lemma == "fact" and not one.old and segment - one.said >= 2]
        if number in self.changes and able:
            one = self.rng.choice(able)
            one.old, one.value = one.value, self.rng.choice([v for v in KINDS[one.kind] if v != one.value])
            one.said = segment
            text = self.rng.choice(_CHANGES).format(kind=one.kind, thing=one.thing, value=one.value, old=one.old)
        else:
            kind = self.rng.choice(list(KINDS))
            one = _Known(kind, next(self.names), self.rng.choice(KINDS[kind]), segment)
            self.known.append(one)
            text = self.rng.choice(_STATED).format(kind=kind, thing=one.thing, value=one.value)
        return text, _note(one)

    def _lemma(self, segment: int) -> tuple[str, EditLine]:
        """The segment's last line: derived from what was said so many segments ago as is this question's turn."""
        is_asked = segment >= _FIRST_ASKED
        age = _MID_AGES[segment - _FIRST_ASKED] if is_asked else 1
        passed = [one for one in self.known if one.lemma == "look-up"]
        wants_join = is_asked and segment % 2 == 1 and len(passed) >= 2
        thing = next(self.names)
        if wants_join:
            parts = sorted(passed, key=lambda one: (abs(segment - one.said - age), self.rng.random()))[:2]
            places = _join_places(thing, parts)
            oldest = max(segment - one.said for one in parts)
            words = " ".join(word for one in parts for word in (one.kind, one.thing))
            new = _Known("badge", thing, "", segment, "join", parts=tuple((one.kind, one.value) for one in parts))
        else:
            facts = [one for one in self.known if one.lemma == "fact"]
            parts = sorted(facts, key=lambda one: (abs(segment - one.said - age), self.rng.random()))[:1]
            [one] = parts
            before = f"So the {one.kind} wanted for {thing} is that of {one.thing}:"
            places, oldest, words = (_place(before, one),), segment - one.said, f"{one.kind} {one.thing}"
            new = _Known(one.kind, thing, one.value, segment, "look-up")
        if is_asked:
            old = _spaced(parts[0].old) if len(parts) == 1 and parts[0].old else ""
            kind: Kind = "join" if wants_join else "look-up"
            self.questions.append(StreamQuestion(f"mid-{segment}", segment, True, kind, oldest, places, words, old))
        for one in parts:
            one.said = segment
        self.known.append(new)
        return "".join(place.before + place.gold for place in places) + ".", _note(new)

    def _ask_at_end(self) -> None:
        last = SEGMENTS - 1
        left = list(self.known)
        for number in range(END_ASKS):
            wanted = AGES[number % len(AGES)]
            one = min(left, key=lambda one: (abs(last - one.said - wanted), not one.old, self.rng.random()))
            left.remove(one)
            where = "wanted for" if one.lemma == "look-up" else "of"
            head = f"Question: What is the {one.kind} {where} {one.thing}?\nAnswer:"
            places = _joined(head, one.parts) if one.parts else (_place(head, one),)
            age, words = last - one.said, f"{one.kind} {one.thing}"
            old = _spaced(one.old) if one.old else ""
            self.questions.append(StreamQuestion(f"end-{number}", last, False, one.lemma, age, places, words, old))


def _place(before: str, one: _Known) -> Candidates:
    return Candidates(before, tuple(map(_spaced, KINDS[one.kind])), _spaced(one.value))


def _joined(head: str, parts: Sequence[tuple[str, str]]) -> tuple[Candidates, ...]:
    return tuple(
        Candidates(head if number == 0 else " and", tuple(map(_spaced, KINDS[kind])), _spaced(value))
        for number, (kind, value) in enumerate(parts)
    )


def _join_places(thing: str, parts: Sequence[_Known]) -> tuple[Candidates, ...]:
    """A join names what it joins, one after the other."""
    first, second = parts
    head = f"So the badge of {thing} joins the {first.kind} wanted for {first.thing}:"
    middle = f" and the {second.kind} wanted for {second.thing}:"
    return _place(head, first), _place(middle, second)


def _note(one: _Known) -> EditLine:
    if one.parts:
        (_, first), (_, second) = one.parts
        return EditLine(f"badge of {one.thing}", f"The badge of {one.thing} is", f" {first} and {second}")
    where = "wanted for" if one.lemma == "look-up" else "of"
    return EditLine(f"{one.kind} {where} {one.thing}", f"The {one.kind} {where} {one.thing} is", _spaced(one.value))


def _spaced(value: str) -> str:
    return f" {value}"
