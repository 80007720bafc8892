"""How right the self-edits of a stream are, by the facts that its invented documents state.

    python benchmarks/stream_edits.py RUN [RUN ...] [--out edits.json]

A question is right where it names the place of a fact that its document states and has its value for an answer; what it
asks is not looked at. A fact is covered where a right question is one of those that a perfect self-edit has of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from selfedit.errors import InvalidEdit
from selfedit.learn.stream import StreamConfig, streams_of
from selfedit.records import SelfEdit
from selfedit.report.run_data import read_run_data
from selfedit.store.ledger import read_ledger
from selfedit.tasks.streams.edits import as_replied, read_lines
from selfedit.tasks.streams.events import DocumentEvent
from selfedit.tasks.streams.task import event_context
from selfedit.tasks.streams.world import study_questions

CHECKED = "checked"
"""Who has written what stands for a document's drafts after the check."""


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("runs", type=Path, nargs="+")
    flags.add_argument("--out", type=Path)
    args = flags.parse_args()
    found = {run.name: rightness(run) for run in args.runs}
    print("| run | self-edits | readable | questions | right | facts covered |")
    print("|---|---|---|---|---|---|")
    for name, n in found.items():
        print(
            f"| {name} | {n['edits']} | {n['readable']} | {n['questions']} | {n['right']} |"
            f" {n['covered']} of {n['facts']} |"
        )
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def rightness(run: Path) -> dict[str, int]:
    """Counts over all documents of a run's streams that have been written about."""
    with read_ledger(run / "ledger.db") as ledger:
        edits = {one.context_id: one for one in sorted(ledger.edits(), key=lambda one: one.writer == CHECKED)}
    config = StreamConfig.model_validate(read_run_data(run).config)
    total: dict[str, int] = {}
    for stream in streams_of(config):
        for event in stream.events:
            edit = edits.get(event_context(stream, event).id) if event.text else None
            if edit is not None:
                for name, n in _counted(event, edit).items():
                    total[name] = total.get(name, 0) + n
    return total


def _counted(event: DocumentEvent, edit: SelfEdit) -> dict[str, int]:
    try:
        text = edit.text if edit.writer == CHECKED else as_replied(edit.text)
        answered = read_lines(text).answered if not edit.invalid else ()
    except InvalidEdit:
        answered = ()
    facts = [(fact, set(study_questions(fact))) for fact in event.facts]
    right = [(q, a) for q, a in answered if any(fact.subject in q and fact.value == a for fact, _ in facts)]
    covered = [fact for fact, asked in facts if any(q in asked and a == fact.value for q, a in right)]
    counts = {"edits": 1, "readable": int(bool(answered)), "questions": len(answered), "right": len(right)}
    return counts | {"facts": len(facts), "covered": len(covered)}


if __name__ == "__main__":
    main()
