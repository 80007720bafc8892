"""L4. An engine for agents: it knows by heart what it studied, and obeys rules in sight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from selfedit.protocols import AdapterStore, Done
from selfedit.records import (
    Answer,
    Completion,
    Generation,
    LiveRequest,
    Policy,
    Prompt,
    Query,
    Trial,
    TrialResult,
    Update,
    UpdateResult,
    digest,
)
from selfedit.store import AdapterFolders
from selfedit.testing.engines import MEMORY, FakeEngine, safetensors_of, save_version
from selfedit.testing.live import FakeLiveWriter

_NOT_KNOWN = "no idea"


class _RoteWriter(FakeLiveWriter):
    """A writer of what versions know."""

    def __init__(self, say: Callable[[Policy, Prompt], str], adapters: AdapterStore, rows: int, versions: int) -> None:
        super().__init__(lambda prompt, seed: "", adapters, rows, versions)
        self._say = say

    def text_of(self, request: LiveRequest) -> str:
        """As the engine says it."""
        return self._say(request.base, request.prompt)


class RoteEngine(FakeEngine):
    """Says what it studied as the reply to the very same request. A rule in sight that shares a name (a word with a
    capital) with the request is obeyed: what it says behind its last ` to ` or `: ` is done. It remembers across
    processes, in its versions' folders; common knowledge and general text it keeps unless `harm` says otherwise.

    Args:
        home: folder that its versions go to.
        others: folders of other versions, which are only read.
    """

    def __init__(self, home: Path = Path(), others: Sequence[Path] = ()) -> None:
        super().__init__(home=home)
        self.adapters = AdapterFolders(home, *others)
        self.studied: dict[str, dict[str, str]] = {"": {}}
        """By a version's hash: request → reply."""
        self.harm: Callable[[Policy], float] = lambda policy: 0.0
        """What a version costs general text and common knowledge, nats; above 1 knowledge is lost."""
        self.misled: Callable[[Policy, str, str], str] = lambda policy, request, reply: reply
        """(version, request, what it studied for that) → what it says."""

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        """What it knows, or a rule in sight says; a writer of self-edits gets nothing that could be read."""
        for number, group in enumerate(groups):
            self.texts_written += len(group)
            texts = [self.said(item.base, item.prompt) for item in group]
            yield Done(number, tuple(Completion(text, len(text.split()), True) for text in texts))

    def live(self, rows: int, versions: int) -> FakeLiveWriter:
        """Says what it knows, word by word."""
        self.writers_made.append(_RoteWriter(self.said, self.adapters, rows, versions))
        return self.writers_made[-1]

    def said(self, base: Policy, prompt: Prompt) -> str:
        """What a version says."""
        known = self._recall(base).get(prompt.text)
        rules = [line[2:] for line in prompt.system.splitlines() if line.startswith("- ")]
        for rule in reversed(rules):
            names = {word.strip(".,:?") for word in rule.split()[1:] if word[:1].isupper()}
            if names & {word.strip(".,:?") for word in prompt.text.split()}:
                return rule.rstrip(".").rsplit(": ", 1)[-1].rsplit(" to ", 1)[-1]
        return self.misled(base, prompt.text, known) if known is not None else _NOT_KNOWN

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        answers = tuple(self._answer(trial.base, query) for query in trial.spec.queries)
        return TrialResult(trial.key, answers)

    def _answer(self, base: Policy, query: Query) -> Answer:
        harm = self.harm(base)
        if query.question_id.startswith("@"):
            text = query.gold if harm <= 1 else _NOT_KNOWN
            return Answer(query.question_id, text if query.max_new_tokens else "", -2.0 - harm)
        said = self.said(base, query.prompt)
        return Answer(query.question_id, said, -0.1 if said == query.gold else -5.0)

    def _update(self, update: Update) -> UpdateResult:
        if failure := self._why_not(update):
            return UpdateResult(failure=failure)
        pairs = {one.prompt.text: one.completion for one in update.examples if one.prompt}
        known = {**self._recall(update.base), **pairs}
        made_of = update.base.digest, list(update.examples), update.training, update.seed
        content = safetensors_of(digest(*made_of))
        mark = hashlib.sha256(content).hexdigest()
        self.studied[mark] = known
        policy = save_version(self.adapters, update, 0, content, mark, {"studied": known})
        return UpdateResult((policy,), (2.0, 1.0), len(update.examples), 10 * len(update.examples))

    def _recall(self, version: Policy) -> dict[str, str]:
        if version.digest not in self.studied:
            held = json.loads((self.adapters.find(version) / MEMORY).read_text())
            self.studied[version.digest] = held["studied"]
        return self.studied[version.digest]
