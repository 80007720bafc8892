"""Which updates keep what has left the window: settings tried on two streams that are not those that are reported.

    python benchmarks/past_window_settings.py --modules down_proj --rate 2e-3 --tolerance 0.3

Eight segments of each stream are read, with the oracle's lines; then every line that holds, but joins, is asked about,
as a question and in the line's own words, with the updated weights and with the window alone.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from dataclasses import replace
from statistics import fmean

from selfedit import seeds
from selfedit.config import EMBEDDED_MODEL
from selfedit.engine import load_engine
from selfedit.records import Candidates, Example, MidQuestion, MidStudied, MidStudy, Prompt
from selfedit.think.lines import EditLine
from selfedit.think.settings import MID_TRAINING
from selfedit.think.world import KINDS, make_streams

SEGMENTS = 8


def main() -> None:
    """Reads, asks, and prints a line for each way of asking."""
    options = _options()
    training = replace(
        MID_TRAINING,
        target_modules=options.modules,
        top_layers=options.top_layers,
        learning_rate=options.rate,
        epochs=options.steps,
        batch_size=32,
    )
    engine, streams = load_engine(EMBEDDED_MODEL, "cpu"), make_streams("dev", 2, 0)
    texts = engine.moving(len(streams), training)
    live: list[dict[str, EditLine]] = [{} for _ in streams]
    said: list[dict[str, int]] = [{} for _ in streams]
    rng, done, started = random.Random(0), list[MidStudied](), time.process_time()
    for number in range(SEGMENTS):
        texts.read([(i, s.segments[number].text + s.segments[number].lemma) for i, s in enumerate(streams)])
        studies = []
        for i, stream in enumerate(streams):
            new = stream.segments[number].notes
            older = [note for key, note in live[i].items() if key not in {one.key for one in new}]
            again = rng.sample(older, min(options.replayed, len(older)))
            live[i].update({note.key: note for note in new})
            said[i].update({note.key: number for note in new})
            examples = tuple(one for note in [*new, *again] for one in _examples(note, options.form))
            studies.append(MidStudy(i, examples, seeds.derive(0, i, number), 2))
        done += texts.study(studies, options.tolerance)
    cpu = time.process_time() - started
    asked, kinds = [], []
    for i, notes in enumerate(live):
        for key, note in notes.items():
            if key.startswith("badge"):
                continue
            values = tuple(f" {value}" for value in KINDS[key.split()[0]])
            for form, before in (("question", _question(note)), ("line", note.before)):
                for who, adapter in (("weights", None), ("window", -1)):
                    where = "in sight" if SEGMENTS - 1 - said[i][key] < 2 else "past"
                    asked.append(MidQuestion(i, (Candidates(before, values, note.value),), adapter=adapter))
                    kinds.append((where, form, who))
    found: dict[tuple[str, str, str], list[tuple[bool, float]]] = defaultdict(list)
    for kind, question, answer in zip(kinds, asked, texts.ask(asked), strict=True):
        found[kind].append((answer.values[0] == question.places[0].gold, answer.gold_logprob))
    kept, rise = fmean(one.is_kept for one in done), fmean(one.loss_after - one.loss_before for one in done)
    first, last = (fmean(one.line_losses[place] for one in done) for place in (0, -1))
    print(f"{sum(one.tokens for one in done)} tokens, {cpu:.0f} s of CPU; {kept:.0%} kept, window's loss {rise:+.3f}")
    print(f"lines' loss {first:.2f} to {last:.2f}")
    for (where, form, who), answers in sorted(found.items()):
        right, logprob = fmean(one for one, _ in answers), fmean(one for _, one in answers)
        print(f"{where:9s} {form:9s} {who:8s} {right:.2f} right of {len(answers)}, log-probability {logprob:.1f}")


def _question(note: EditLine) -> str:
    return f"Question: What is the {note.key}?\nAnswer:"


def _examples(note: EditLine, form: str) -> list[Example]:
    asked = Example(note.value.strip(), Prompt(_question(note), raw=True))
    return [note.example, asked] if form == "both" else [note.example]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", default=MID_TRAINING.target_modules)
    parser.add_argument("--top-layers", type=float, default=MID_TRAINING.top_layers)
    parser.add_argument("--rate", type=float, default=MID_TRAINING.learning_rate)
    parser.add_argument("--steps", type=int, default=MID_TRAINING.epochs)
    parser.add_argument("--replayed", type=int, default=4)
    parser.add_argument("--tolerance", type=float, default=0.3)
    parser.add_argument("--form", choices=("line", "both"), default="line", help="what a line is studied as")
    return parser.parse_args()


if __name__ == "__main__":
    main()
