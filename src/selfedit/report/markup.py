"""L4. Pieces of HTML that every section of the page is made of. What comes from elsewhere is escaped by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from selfedit.report import wording
from selfedit.report.intervals import Interval


def prose(text: str) -> str:
    """A sentence whose numbers keep their percent sign on their own line."""
    return escape(text).replace(" %", "&nbsp;%")


def html_table(heads: Sequence[str], rows: str, kind: str = "") -> str:
    """`rows` is ready HTML; the heads are ours."""
    head = f"<thead><tr>{''.join(f'<th scope=col>{escape(name)}</th>' for name in heads)}</tr></thead>" if heads else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{rows}</tbody></table></div>'


def html_row(cells: Iterable[str], kind: str = "") -> str:
    """`cells` are ready HTML."""
    return f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def bullets(lines: Iterable[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def left_out(number: int, noun: str) -> str:
    """How many are not shown; nothing where all are."""
    return f'<p class="note">… and {wording.count(number, noun)} more, in the ledger.</p>' if number > 0 else ""


def ranged(value: float | None, low: float | None, high: float | None, form: wording.Form) -> str:
    """A number over its interval."""
    range_ = f'<span class="range">{wording.between(low, high, form)}</span>' if low is not None else ""
    return f"{form(value)}{range_}"


def change(interval: Interval, form: wording.Form) -> str:
    """A difference over its interval and what may be said of it."""
    verdict = wording.verdict(interval)
    return f'{ranged(interval.value, interval.low, interval.high, form)}<span class="range">{verdict}</span>'


def loud(number: int) -> str:
    """A count of what should be none."""
    return f'<strong class="wrong">{number:,}</strong>' if number else "0"


def folded(text: str, preview: int) -> str:
    """A text, of which the first `preview` characters are shown until it is unfolded."""
    if not text.strip():
        return '<p class="text small">(empty)</p>'
    if len(text) <= preview * 1.3:
        return f'<p class="text">{escape(text)}</p>'
    return (
        f'<div class="fold"><p class="text preview">{escape(text[:preview].rstrip())}…</p>'
        f'<details><summary class="small">full text, {len(text):,} characters</summary>'
        f'<p class="text">{escape(text)}</p></details></div>'
    )
