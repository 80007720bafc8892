"""What drafting by prompt look-up could bring where self-edits are written.

    python benchmarks/lookup.py [--passages N] [--json]

Speculative decoding without a second model: what followed the last few tokens where they stood before, in the prompt or
in the text so far, is put before the model as a draft, and one pass takes all of it that the model would have drawn
itself. With draws that belong to their place the text is the same as without drafts, so that texts drawn as usual tell
how many passes there would have been. Tokens a pass bound what it can bring: the same tokens in so many fewer passes,
each of which is dearer by the draft. The texts are two self-edits of each of the first passages, by the embedded model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bank import DATA
from telling import rounded, say

from selfedit.engine import load_engine
from selfedit.engine.generate.decoding import Request
from selfedit.engine.model.tokenization import prompt_ids
from selfedit.records import SamplingParams
from selfedit.report.stats.intervals import bootstrap
from selfedit.tasks import PassagesTask, load_passages

DRAWN = ((1.0, 1.0), (1.0, 0.95), (0.5, 1.0))
"""(temperature, top-p): what `train` draws with, what the decoder is timed with, and what works best for a small
model."""
LOOKED_UP = ((2, 4), (2, 8), (3, 4), (3, 8))
"""(tokens that are looked for, tokens of a draft)."""
TEXTS = 2
NEW_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Passes:
    """Of one text."""

    tokens: int
    passes: int
    drafted: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = load_engine("smollm2-135m")
    train, heldout = load_passages(str(DATA))
    contexts = (*train, *heldout)[: args.passages]
    task = PassagesTask(contexts, (), "implications")
    prompts = [prompt_ids(engine.tokenizer, task.prompt(context)) for context in contexts for _ in range(TEXTS)]
    rows: list[dict[str, Any]] = []
    for temperature, top_p in DRAWN:
        sampling = SamplingParams(temperature=temperature, top_p=top_p, max_new_tokens=NEW_TOKENS)
        requests = [Request(prompt, -1, sampling, seed) for seed, prompt in enumerate(prompts)]
        texts = [ids for ids, _ in engine.speaker.decoder.generate(requests)]
        say(f"temperature {temperature}, top-p {top_p}: {sum(map(len, texts))} tokens")
        for looked_for, drafted in LOOKED_UP:
            found = [passes(p, ids, looked_for, drafted) for p, ids in zip(prompts, texts, strict=True)]
            how = {"temperature": temperature, "top_p": top_p, "looked_for": looked_for, "draft": drafted}
            rows.append(how | told([found[at : at + TEXTS] for at in range(0, len(found), TEXTS)]))
    result = {"passages": len(contexts), "texts_each": TEXTS, "rows": rows, "facts": engine.facts}
    print(json.dumps(rounded(result), indent=1) if args.json else table(rows))


def passes(prompt: Sequence[int], text: Sequence[int], looked_for: int, most: int) -> Passes:
    """How many passes a text would have taken; the first token comes with the prompt's own."""
    n = drafted = 0
    at = min(1, len(text))
    while at < len(text):
        draft = looked_up([*prompt, *text[:at]], looked_for, most)
        right = 0
        while right < len(draft) and at + right < len(text) and draft[right] == text[at + right]:
            right += 1
        at, n, drafted = at + right + 1, n + 1, drafted + len(draft)
    return Passes(max(0, len(text) - 1), n, drafted)


def looked_up(tokens: Sequence[int], looked_for: int, most: int) -> Sequence[int]:
    """What followed the last `looked_for` tokens where they stood last before."""
    key = list(tokens[-looked_for:])
    for at in range(len(tokens) - looked_for - 1, -1, -1):
        if list(tokens[at : at + looked_for]) == key:
            return tokens[at + looked_for : at + looked_for + most]
    return ()


def told(by_passage: Sequence[Sequence[Passes]]) -> dict[str, Any]:
    """Means over passages, which are what is resampled."""
    a_pass = {
        (f"{i}", ""): ratio([one.tokens for one in some], [one.passes for one in some])
        for i, some in enumerate(by_passage)
    }
    every = [one for some in by_passage for one in some]
    return {
        "tokens": sum(one.tokens for one in every),
        "tokens_a_pass": asdict(bootstrap(a_pass)),
        "drafted_a_pass": ratio([one.drafted for one in every], [one.passes for one in every]),
    }


def ratio(values: Sequence[int], passes: Sequence[int]) -> float:
    return sum(values) / max(1, sum(passes))


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| temperature | top-p | looked for | draft | tokens a pass | drafted a pass |", "|---" * 6 + "|"]
    for one in rows:
        cells = [one[name] for name in ("temperature", "top_p", "looked_for", "draft")]
        tokens = one["tokens_a_pass"]
        cells += [
            f"{tokens['value']:.2f} ({tokens['low']:.2f} to {tokens['high']:.2f})",
            f"{one['drafted_a_pass']:.2f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
