"""L3. Lines that speak to a model instead of about a subject: a document that has them is quarantined, unless trusted.

What is looked for is the form (orders to ignore, to reveal, to answer in a certain way, roles of a chat), so that it
finds the plain attempts alone. A false fact has no form: that is what the gate, `why` and forgetting are for.
"""

from __future__ import annotations

import re

_ORDERS = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:previous|prior|above|earlier|all|any|your)\b.{0,20}
        \b(?:instruction|prompt|rule|direction|guideline)s?\b
    | \b(?:whenever|when|if)\b.{0,60}\b(?:ask(?:ed|s)?|question(?:s|ed)?|user|prompt(?:ed)?)\b.{0,60}
        \b(?:always|must|shall|should|reply|respond|answer|say|output|never)\b
    | \b(?:always|never)\s+(?:answer|reply|respond|say|output|reveal|mention|refuse)\b
    | \byou\s+are\s+(?:now\s+)?(?:an?\s+)?(?:ai|assistant|language\s+model|chatbot|llm|dan)\b
    | \bas\s+an?\s+(?:ai|language\s+model|assistant)\b
    | \b(?:system|developer)\s+(?:prompt|message)\b
    | <\|?\s*(?:im_start|im_end|system|user|assistant|endoftext)\s*\|?>
    | ^\s*(?:system|assistant)\s*:
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)


def order_in(text: str) -> str:
    """The first thing in a text that reads like an order to a model, at most 80 characters; empty where none does."""
    found = _ORDERS.search(text)
    return " ".join(found[0].split())[:80] if found else ""
