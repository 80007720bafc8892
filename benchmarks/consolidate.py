"""What one adapter for all keeps, by how much is rehearsed: the gate's own figures of a library's live version.

    python benchmarks/consolidate.py documents DOCS
    selfedit learn DOCS --library LIBRARY --edits 0
    python benchmarks/consolidate.py try LIBRARY --rehearsed 0,1,4 --out consolidate.json [--rate 1e-3]

`documents` writes three invented documents. `try` consolidates a copy of the library with each setting, so that all
begin alike and the library stays as it is; a setting that the file has already is not tried again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import selfedit
from selfedit.records import to_json

DOCUMENTS = {
    "bridge": """# The bridge of Orlemont

The bridge was built by Vera Holt in 1911. It is 240 metres long. In 1954 the engineer Tom Brandt widened it for trams.
Its toll house stands in Quarry Street and is now a museum.
""",
    "ferry": """# The ferry of Sennport

The ferry Albatross crosses the sound in 35 minutes. Captain Ida Lunt has steered it since 2003. A ticket costs 7
crowns. It was made in Danholm by the yard Koster & Sons in 1988.
""",
    "tide": """# The tide mill of Varnholt

The tide mill grinds rye on every ebb. The miller Jonna Reed rebuilt its wheel in 1962 from larch. It has 28 paddles.
Its sluice keeper is called Piet Osk, and the pond holds 900 barrels.
""",
}


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    writing, trying = verbs.add_parser("documents"), verbs.add_parser("try")
    writing.add_argument("folder", type=Path)
    trying.add_argument("library", type=Path)
    trying.add_argument("--rehearsed", default="0,1", help="texts for each line, joined by commas")
    trying.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    trying.add_argument("--tokens", type=int, default=2_000, help="of its own lines, for each lesson")
    trying.add_argument("--out", type=Path, required=True)
    args = flags.parse_args()
    if args.verb == "documents":
        args.folder.mkdir(parents=True, exist_ok=True)
        for name, text in DOCUMENTS.items():
            (args.folder / f"{name}.md").write_text(text, encoding="utf-8")
        return
    found = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else []
    for rehearsed in [float(one) for one in args.rehearsed.split(",")]:
        settings = {"rehearsed": rehearsed, "learning_rate": args.rate, "tokens": args.tokens}
        if all(one["settings"] != settings for one in found):
            found.append({"settings": settings, **consolidated(args.library, settings)})
            args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    tell(found)


def consolidated(library: Path, settings: dict[str, float]) -> dict[str, object]:
    """What the gate says of a copy's one adapter."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "library"
        shutil.copytree(library, copy)
        held: dict[str, object] = to_json(selfedit.Library(copy, progress=True).consolidate(**settings))
    return {name: held[name] for name in held if name != "version"} | {"published": not held["reasons"]}


def tell(found: list[dict[str, object]]) -> None:
    """A table, as the docs show it."""
    print("| texts a line | rate | tokens | known | general text | right, one and routed | published |")
    print("|---|---|---|---|---|---|---|")
    for one in found:
        settings = one["settings"]
        assert isinstance(settings, dict)
        print(
            f"| {settings['rehearsed']:g} | {settings['learning_rate']:g} | {one['tokens']:,} |"
            f" {one['still_known']} of {one['known_before']} | {-float(str(one['drift'])):+.2f} |"
            f" {one['right_with_one']} and {one['right_with_routing']} of {one['questions']} |"
            f" {'yes' if one['published'] else 'no'} |"
        )


if __name__ == "__main__":
    main()
