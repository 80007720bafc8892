"""L4. A figure made fit to stand in the page: as inline SVG with the page's colours and font, over its caption."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from selfedit.report import look

CSS_NAMES = {
    look.INK: "var(--ink)",
    look.MUTED: "var(--muted)",
    look.LINE: "var(--line)",
    look.PAPER: "var(--card)",
    look.BLUE: "var(--blue)",
}
FIGURES = {
    "methods": (
        "Accuracy and gold log-probability by method",
        "Held-out passages: each method’s mean with its 95 % interval. Further right is better in both panels.",
    ),
    "learning-curve": (
        "Held-out results by updates of the policy",
        "Held-out passages: what studying a self-edit is worth, by how often its writer had been trained. "
        "Bars are 95 % intervals. Level lines are means that do not depend on the policy.",
    ),
    "rewards": (
        "Reward of every self-edit",
        "Training: the reward of every self-edit, one row per context. Selection lives on the spread within a row. The "
        "rightmost dot looks better than it is, since the same trials chose it.",
    ),
    "reward-distribution": (
        "Rewards by round",
        "Training: every reward of a round, the kept ones once more below, each with median and quartiles. The kept "
        "ones are in-sample: these very rewards chose them, so they look better than they are (the winner’s curse).",
    ),
    "self-edits": (
        "Self-edits about the same passages, version by version",
        "Held-out passages, the first in the run’s order: what each version of the policy wrote about them, and what "
        "studying it earned against the untouched model. Long texts end in ….",
    ),
    "cost": ("Wall time by stage", "Where the time went."),
}


def plate(drawn: Mapping[str, bytes], name: str) -> str:
    """The figure `name` with its caption; nothing where it was not drawn."""
    if name not in drawn:
        return ""
    title, caption = FIGURES[name]
    svg = inline(drawn[name].decode(), name, title)
    return f'<figure><div class="plate">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'


def inline(svg: str, name: str, title: str) -> str:
    """An SVG fit to stand in the page: own ids, the page's colours and font, no size of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1system-ui, sans-serif", svg)
    for colour, variable in CSS_NAMES.items():
        svg = svg.replace(colour, variable)
    return svg
