"""L3. Text that speaks to a model instead of about a subject, or that says one thing over and over: it is quarantined
before it is studied, unless its document is trusted.

What is looked for is the form: orders to forget other orders, to give a dictated answer, roles and marks of a chat; and
the same sentence many times in one chunk, by which a single claim outweighs all else that is studied with it. Text is
compared without invisible characters and across line breaks; headings, which are studied too, stand before it
(`A › B`). Only plain attempts are found so. A false fact that is said once has no form: that is what the gate, `why`
and forgetting are for.

Handbooks for people have orders too ("if a caller asks …, reply within a day"); these pass unless they dictate the very
words of an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

MOST_TIMES = 4
"""So often one chunk may say the same sentence."""
_FEWEST_WORDS = 4
"""A shorter sentence may come as often as it likes: `Not applicable.`"""
_DICTATED = r"""(?: \s+(?:that|only)\b | \s*: | [^.!?]{0,30}["'“”‘«„]
    | \s+with\s+(?:the|this|these|only|exactly|just)\b.{0,20}\b(?:words?|phrases?|sentences?|answers?|text)\b )"""
_SPEAK = r"(?:answer|reply|respond|say|output|claim|state|tell\s+(?:them|him|her|the\s+user))"
_ORDERS = re.compile(
    rf"""
    \b(?:ignore|disregard|forget|override|bypass)\b.{{0,30}}
        \b(?:previous|prior|above|earlier|preceding|all|any|your|other)\b.{{0,20}}
        \b(?:instruction|prompt|direction|guideline|system\s+message)s?\b
    | \b(?:ignore|disregard|forget|override|bypass)\s+(?:all\s+(?:of\s+)?)?(?:your|the\s+previous|previous|prior)\b
        .{{0,20}}\brules?\b
    | \b(?:whenever|when|if)\b[^.!?]{{0,60}}\b(?:ask(?:ed|s)?|prompt(?:ed)?|question(?:ed)?)\b[^.!?]{{0,60}}
        \b{_SPEAK}{_DICTATED}
    | \b(?:always|never)\s+{_SPEAK}{_DICTATED}
    | \b(?:whenever|when|if)\s+you\s+(?:see|read|encounter)\b[^.!?]{{0,80}}\b{_SPEAK}{_DICTATED}
    | \bfrom\s+now\s+on,?\s+(?:you\s+(?:will|must|are|shall)|always|never|answer|respond|reply)\b[^.!?]{{0,60}}
        \b(?:answer|respond|reply|say|output|pretend|obey|ai|assistant|model)\b
    | \b(?:you\s+are|act\s+as|pretend\s+to\s+be|behave\s+(?:as|like))\s+(?:now\s+)?(?:an?\s+|the\s+)?(?:\w+\s+)?
        (?:ai\b(?!\s+\w+er\b)|language\s+model|chatbot|llm\b|dan\b|assistant(?=\s*(?:[.,;:!?]|$|that\b|who\b|named\b|without\b)))
    | \bas\s+an?\s+(?:ai\s+(?:language\s+)?(?:model|assistant)|language\s+model)\b
    | \b(?:reveal|print|repeat|show|output|leak)\b.{{0,30}}\b(?:system|developer)\s+(?:prompt|message)\b
    | \b(?:your|new)\s+(?:system|developer)\s+prompt\b
    | <\|?\s*(?:im_start|im_end|im_sep|system|user|assistant|endoftext|begin_of_text|eot_id|start_header_id)\s*\|?>
    | \[/?INST\] | <</?SYS>> | <(?:start|end)_of_turn>
    | (?:^|›)[^\S\n]*(?:\#+\s*)?(?:new\s+|system\s+)?instructions?\s+(?:to|for)\s+(?:the\s+|any\s+)?
        (?:ai|ai\s+assistant|(?:language\s+)?model|llm)s?\b
    | (?:^|›)[^\S\n]*(?:system|assistant)\s*:\s*
        (?:you|ignore|disregard|forget|from\s+now|always|never|sure|i\s+(?:will|am|can))\b
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)


def order_in(text: str) -> str:
    """The first thing in a text that reads like an order to a model, at most 80 characters; empty where none does."""
    plain = _visible(text)
    found = _ORDERS.search(plain) or _ORDERS.search(" ".join(plain.split()))
    return " ".join(found[0].split())[:80] if found else ""


def repeated_in(text: str) -> tuple[str, int]:
    """The sentence that a text says most often, at most 80 characters, and how often; empty and 0 where none is said
    more than `MOST_TIMES`."""
    sentences = [_plain(sentence) for sentence in re.split(r"[.!?]+|\n{2,}", _visible(text))]
    counts = Counter(one for one in sentences if len(one.split()) >= _FEWEST_WORDS)
    sentence, times = max(counts.items(), key=lambda one: one[1], default=("", 0))
    return (sentence[:80], times) if times > MOST_TIMES else ("", 0)


def why_hostile(text: str) -> str:
    """Why a text is not to be studied, in one line; empty where it may."""
    if order := order_in(text):
        return f"reads like an order to a model: {order!r}"
    sentence, times = repeated_in(text)
    return f"says the same {times} times: {sentence!r}" if times else ""


def _visible(text: str) -> str:
    """Without characters that nobody sees, and with look-alike forms (full-width letters) as plain ones."""
    shown = "".join(one for one in text if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFKC", shown)


def _plain(sentence: str) -> str:
    """In small letters, without marks."""
    return " ".join(re.findall(r"\w+", sentence.lower()))
