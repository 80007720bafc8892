"""The passage's own sentences as a file of self-edits: what is left of a writer's merit when it only takes apart.

python benchmarks/sentences.py --data val200.jsonl > sentences.jsonl
selfedit eval --heldout-data val200.jsonl --methods passage,edits --edits sentences.jsonl
"""

from __future__ import annotations

import argparse
import json
import re

from selfedit.tasks import load_passages

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    args = parser.parse_args()
    for context in (context for part in load_passages(args.data) for context in part):
        sentences = [sentence.strip() for sentence in _END.split(context.text) if sentence.strip()]
        print(json.dumps({"id": context.id, "edits": ["\n".join(sentences)]}, ensure_ascii=False))


if __name__ == "__main__":
    main()
