"""L4. Self-edits on the page: side by side where several policies wrote about one passage, as cards elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from itertools import groupby

from selfedit.report import wording
from selfedit.report.columns import version
from selfedit.report.evolution import Evolution
from selfedit.report.examples import EditCard, Example
from selfedit.report.markup import folded, left_out

CONTEXTS_SHOWN = 8
"""Contexts whose self-edits are shown, in each round and among the held-out ones: the first, not the best."""
EVOLUTIONS_OPEN = 3
"""Contexts whose columns stand open."""
EVOLUTIONS_SHOWN = 30
"""Contexts whose columns are shown."""
HELDOUT = "Held-out passages"
PREVIEW = 240
"""Characters of a self-edit that are shown before it is unfolded."""
COLUMN_PREVIEW = 700
"""The same where versions stand side by side."""


def self_edits(examples: Sequence[Example], evolutions: Sequence[Evolution]) -> str:
    """The section on self-edits; nothing where none was written."""
    in_columns = {card.key for evolution in evolutions[:EVOLUTIONS_SHOWN] for card in evolution.cards}
    parts = [_evolutions(evolutions)] + [
        _group(f"{title}, other self-edits" if evolutions and title == HELDOUT else title, shown)
        for title, members in groupby(examples, key=_group_title)
        if (shown := [(example, cards) for example in members if (cards := _cards_beside(example, in_columns))])
    ]
    if not any(parts):
        return ""
    intro = (
        "The first contexts of each kind, in the run’s order. In training, each self-edit of a context is tried, and "
        "the marked ones train the next policy. A reward is what its own trials measured, so the best of several is "
        "too good to be true on average; held-out self-edits are not selected."
    )
    return f"<h2>Self-edits and what they earned</h2><p>{intro}</p>{''.join(parts)}"


def _cards_beside(example: Example, in_columns: Collection[str]) -> list[EditCard]:
    return [card for card in example.cards if example.split == "train" or card.key not in in_columns]


def _evolutions(evolutions: Sequence[Evolution]) -> str:
    if not evolutions:
        return ""
    intro = "What each version of the policy wrote about the same held-out passage, its first draw each."
    if any(card.logprob_gain is not None for evolution in evolutions for card in evolution.cards):
        intro += " What it earned is measured against the untouched model."
    blocks = "".join(
        _evolution(evolution, is_open=place < EVOLUTIONS_OPEN)
        for place, evolution in enumerate(evolutions[:EVOLUTIONS_SHOWN])
    )
    more = left_out(len(evolutions) - EVOLUTIONS_SHOWN, "passage")
    return f"<h3>The same passage, version by version</h3><p>{escape(intro)}</p>{blocks}{more}"


def _evolution(evolution: Evolution, is_open: bool) -> str:
    columns = "".join(_column(card) for card in evolution.cards)
    gains = [wording.signed(card.logprob_gain) for card in evolution.cards if card.logprob_gain is not None]
    tally = f"gold log-probability {' → '.join(gains)} nats" if gains else ""
    return (
        f'<details class="context"{" open" if is_open else ""}>'
        f"<summary>{escape(evolution.title or evolution.context_id)} "
        f'<span class="tally">{tally}</span></summary><p class="passage">{escape(evolution.text)}</p>'
        f'<div class="scroll"><div class="columns">{columns}</div></div></details>'
    )


def _column(card: EditCard) -> str:
    trouble = card.invalid or card.failure
    kind = " invalid" if trouble else ""
    return (
        f'<article class="card{kind}"><header><span class="tag">{escape(version(card))}</span></header>'
        f'<p class="small">{escape(trouble or _earned(card))}</p>{folded(card.text, COLUMN_PREVIEW)}</article>'
    )


def _group_title(example: Example) -> str:
    if example.split == "heldout":
        return HELDOUT
    return f"Training, {wording.stage_label(example.cards[0].stage).lower()}"


def _group(title: str, members: Sequence[tuple[Example, Sequence[EditCard]]]) -> str:
    contexts = "".join(
        _context(example, cards, is_open=place == 0) for place, (example, cards) in enumerate(members[:CONTEXTS_SHOWN])
    )
    return f"<h3>{escape(title)}</h3>{contexts}{left_out(len(members) - CONTEXTS_SHOWN, 'context')}"


def _context(example: Example, cards: Sequence[EditCard], is_open: bool) -> str:
    best = [card.reward for card in cards if card.reward is not None]
    tally = f"{wording.count(len(cards), 'self-edit')}"
    if best:
        tally += f", rewards {wording.between(min(best), max(best), wording.signed)}"
    return (
        f'<details class="context"{" open" if is_open else ""}><summary>{escape(example.title or example.context_id)} '
        f'<span class="tally">{tally}</span></summary>'
        f'<p class="passage">{escape(example.text)}</p><div class="cards">{"".join(map(_card, cards))}</div></details>'
    )


def _card(card: EditCard) -> str:
    kind, tag = _standing(card)
    lead = wording.signed(card.reward) if card.reward is not None else ""
    detail = card.invalid or card.failure or _earned(card)
    return (
        f'<article class="card {kind}"><header>{f"<span class=reward>{lead}</span>" if lead else ""}'
        f'<span class="tag">{escape(tag)}</span></header><p class="small">{escape(detail)}</p>'
        f"{folded(card.text, PREVIEW)}</article>"
    )


def _earned(card: EditCard) -> str:
    return wording.earned(None, card.accuracy_gain, card.logprob_gain) or wording.unearned(card.stage)


def _standing(card: EditCard) -> tuple[str, str]:
    """CSS class and tag of a card."""
    is_heldout = card.stage.startswith("eval-")
    if card.invalid:
        tag = "✕ invalid, not tried"
        return "invalid", f"{tag} · {wording.written_by(card.stage)}" if is_heldout else tag
    if card.failure:
        return "invalid", "✕ trial failed"
    if card.is_kept:
        return "kept", "◆ kept: trains the next policy"
    if is_heldout:
        return "", _provenance(card.stage)
    return "", "not kept"


def _provenance(stage: str) -> str:
    """Who wrote a held-out self-edit, and how it was studied where that is out of the ordinary."""
    how = {"eval-distil": ", distilled", "eval-seal-edits": ", learnt by the untouched model"}
    return wording.written_by(stage) + how.get(wording.stage_kind(stage), "")
