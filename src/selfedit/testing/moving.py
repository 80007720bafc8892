"""L4. Texts that go on while their adapters change, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from selfedit.errors import SelfeditError
from selfedit.records import MidAnswer, MidQuestion, MidStudied, MidStudy, Prompt, digest

PASSES = 6
"""That an update makes where it is not told how many."""
CONTEXT = 4096
"""Words that are visible at most."""


class FakeMovingTexts:
    """Implements `protocols.MovingTexts`: tokens are words, and an adapter is a list of what it has studied. It answers
    right where the gold value stands in what is visible or beside it, behind a name of the question, or was studied.

    Args:
        count: texts.
    """

    def __init__(self, count: int) -> None:
        self.pieces: list[list[str]] = [[] for _ in range(count)]
        self.learnt: list[list[str]] = [[] for _ in range(count)]
        self.rise = 0.0
        """What an update adds to the visible text's loss."""
        self.seconds_per_pass = 0.0
        """What a pass over a word takes; beside it an update takes 0.1 s."""
        self.studies: list[MidStudy] = []
        self.questions: list[MidQuestion] = []

    def read(self, pieces: Sequence[tuple[int, str]]) -> list[int]:
        """A word is a token."""
        for number, piece in pieces:
            self.pieces[number].append(piece)
            if len(" ".join(self.pieces[number]).split()) > CONTEXT:
                raise SelfeditError(f"a piece exceeds the model's context of {CONTEXT}")
        return [len(piece.split()) for _, piece in pieces]

    def study(self, studies: Sequence[MidStudy], tolerance: float) -> list[MidStudied]:
        """What is studied is remembered, word for word, unless the visible text suffers."""
        self.studies += studies
        done = []
        for one in studies:
            is_kept = bool(one.examples) and self.rise <= tolerance
            if is_kept:
                self.learnt[one.text] += [
                    f"{example.prompt.text if example.prompt else ''} {example.completion}" for example in one.examples
                ]
            kept = len(self.pieces[one.text]) - one.keep
            self.pieces[one.text] = self.pieces[one.text][max(0, kept) :]
            words = sum(len(f"{e.prompt.text if e.prompt else ''} {e.completion}".split()) for e in one.examples)
            spent = self.seconds_per_pass * words * (one.passes or PASSES)
            told = (2.0, 0.5), 4, 40, 0.1 + spent, "", spent
            done.append(MidStudied(is_kept, 3.0, 3.0 + self.rise, *told) if one.examples else MidStudied())
        return done

    def ask(self, questions: Sequence[MidQuestion]) -> list[MidAnswer]:
        """Found, or the first of the values; a reply is what the schema allows, or what was studied last."""
        self.questions += questions
        return [self._written(one, one.prompt) if one.prompt else self._chosen(one) for one in questions]

    def _chosen(self, question: MidQuestion) -> MidAnswer:
        adapter = question.text if question.adapter is None else question.adapter
        known = [*self.pieces[question.text], question.behind, *(self.learnt[adapter] if adapter >= 0 else [])]
        sentences = [line for text in known for line in text.replace(".", ".\n").splitlines()]
        values = []
        for place in question.places:
            asked = {word.strip("?:,") for word in place.before.split() if word[0].isupper()} - {
                "Question",
                "Answer",
                "So",
            }
            fitting = [s for s in sentences if asked & {word.strip(".,:") for word in s.split()}]
            said = [v for s in fitting for v in place.values if v.strip() in {w.strip(".,:") for w in s.split()}]
            values.append(said[-1] if said else place.values[0])
        is_right = [value == place.gold for value, place in zip(values, question.places, strict=True)]
        return MidAnswer(tuple(values), -0.1 if all(is_right) else -3.0)

    def _written(self, question: MidQuestion, prompt: Prompt) -> MidAnswer:
        if prompt.json_schema:
            words = prompt.text.rpartition("Text:\n")[2].split()
            return MidAnswer(reply=json.dumps([{"subject": " ".join(words[:3]), "is": words[-1]}]))
        learnt = self.learnt[question.text]
        return MidAnswer(reply=learnt[-1] if learnt else f"no idea {digest(prompt.text)[:4]}")
