"""L0. What a model says, without what it thinks before it says it.

Models that reason put their thoughts between marks before the reply. A server, or a template, may take them off, leave
them, or open them in the prompt, so that the reply holds the closing mark alone. Thoughts are neither studied nor
judged nor graded. Known are:

    <think> <thinking> <thought> <reasoning> <analysis> <seed:think> …, with their ends    DeepSeek, Qwen, EXAONE, Seed
    [THINK] [/THINK]                                                                       Magistral
    ◁think▷ ◁/think▷                                                                       Kimi
    <|channel|>analysis … <|channel|>final<|message|>, also without the marks              gpt-oss
    <|begin_of_thought|>, <|START_THINKING|>, <unused94>, <|channel>thought                Sky-T1, Command, Gemma
    [BEGIN FINAL RESPONSE]; `Here is my thought process:` … `Here is my response:`         Apriel, Granite

A mark in quotes or backticks is spoken about, and no mark. A tag that is an ordinary word (<reason>, <analysis>) may be
one of the text itself: it opens thoughts only at the beginning, or right behind another mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORDS = r"thoughts?|reason(?:ing)?|rationale|analysis|scratchpad|reflection"
_TAG = rf"(?:[a-z]+[:_])?(?:think(?:ing)?|{_WORDS})"
_MARK = re.compile(
    rf"""
      (?P<opens> <{_TAG}(?:\s+[\w-]+=[^<>]*)?> | \[THINK(?:ING)?\] | ◁think▷ | <unused94>(?:thought)?
               | <\|channel>thought
               | <\|(?:begin_of_thought|begin_of_thinking|start_thinking|think(?:ing)?|think_start)\|> )
    | (?P<closes> </{_TAG}> | \[/THINK(?:ING)?\] | ◁/think▷ | <unused95> | <channel\|>
               | <\|(?:end_of_thought|end_of_thinking|end_thinking|/think(?:ing)?|think_end)\|>
               | <\|(?:begin_of_solution|start_response)\|> | \[BEGIN\ FINAL\ RESPONSE\] )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORD_TAG = re.compile(rf"</?((?:[a-z]+[:_])?(?:{_WORDS}))[\s>]", re.IGNORECASE)
_LETTER = re.compile(r"\S")
_LINE_BEGINS, _LINE_ENDS = re.compile(r"(?:\A|\n)[ \t]{0,40}\Z"), re.compile(r"[ \t]*(?:\n|\Z)")
_BLANK_LINE = re.compile(r"[ \t]*\n[ \t]*\n")
_QUOTES = "`\"'“”‘’«»"
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>", re.IGNORECASE)
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE_CHANNEL = re.compile(r"\A\s*(?:analysis|commentary)(?=[A-Z])")
_BARE_FINAL = "assistantfinal"
_PROSE = re.compile(r"\A\s*here(?:'s|’s| is| are) my (?:thought process|reasoning steps):", re.IGNORECASE)
_PROSE_ENDS = re.compile(r"^[ \t]*here(?:'s|’s| is) my response:", re.IGNORECASE | re.MULTILINE)
_WRAPPER = re.compile(r"<(answer|final_answer|response|final|solution|output)>", re.IGNORECASE)
_END = re.compile(
    r"""
    (?: </s> | <eos> | <end_of_turn> | <｜end▁of▁sentence｜> | \[END\ FINAL\ RESPONSE\]
      | <\|(?:im_end|eot_id|eom_id|end|return|endoftext|end_of_(?:text|solution|turn_token)|end_response)\|> ) \Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST_END = 32
"""Characters; no mark above has more."""


def spoken(text: str) -> str | None:
    """`text` without thoughts, and without the end marks that a server should have taken off; as it is where there is
    neither. None where nothing but thoughts is there, as when the length bound cut them off."""
    said = _without_ends(text)
    rest = _without_prose(_without_channels(said))
    rest = None if rest is None else _without_marked(rest)
    if rest is None or not (rest.strip() or rest == said):
        return None
    return _unwrapped(rest if rest == said else rest.strip())


def is_mark(token: str) -> bool:
    """Whether `token` tells thoughts from what is said, so that a text must not lose it before it is read."""
    return token in ("<|channel|>", "<|message|>") or _MARK.fullmatch(token) is not None


def closing_mark(text: str) -> str:
    """What closes thoughts that `text`, a prompt as the model reads it, ends by opening; empty where it opens none."""
    last = next((mark for mark in reversed(list(_MARK.finditer(text))) if mark["opens"]), None)
    if last is None or text[last.end() :].strip():
        return ""
    pairs = {"[": "[/" + last[0][1:], "◁": "◁/" + last[0][1:], "<": "</" + last[0].lstrip("< ")}
    return pairs[last[0][0]] if not last[0].startswith(("<|", "<unused")) else ""


def _without_ends(text: str) -> str:
    """`</s>` that a `<s>` within the text has opened is struck-out text, and no end mark."""
    cut = stop = len(text)
    is_struck = text.lower().rfind("<s>") > 0
    while True:
        while stop and text[stop - 1].isspace():
            stop -= 1
        end = _END.search(text, max(0, stop - _LONGEST_END), stop)
        if end is None or (is_struck and end[0] == "</s>"):
            return text[:cut]
        cut = stop = end.start()


def _unwrapped(text: str) -> str:
    """The inside of a tag that holds the whole reply."""
    begin = _WRAPPER.match(bare := text.strip())
    if begin is None:
        return text
    inside, end = bare[begin.end() :], f"</{begin[1]}>"
    whole = inside[: -len(end)] if inside.lower().endswith(end.lower()) else inside
    return text if end.lower() in whole.lower() else whole.strip()


def _without_marked(text: str) -> str:
    """Without what stands from a mark that opens to the next that closes, or to the end; and, where a mark closes what
    none has opened, without all that comes before it."""
    kept: list[str] = []
    start, is_thinking = 0, False
    for mark in _marks(text):
        if mark["opens"]:
            kept += [] if is_thinking else [text[start : mark.start()]]
        elif not is_thinking:
            kept.clear()
        is_thinking, start = bool(mark["opens"]), mark.end()
    return "".join([*kept, *([] if is_thinking else [text[start:]])])


def _marks(text: str) -> Iterator[re.Match[str]]:
    """The marks that count. A word's tag closes what the same word opened, or, where nothing opened it, thoughts that
    the prompt began: then it stands on a line of its own, or a blank line follows."""
    opened: set[str] = set()
    mentioned: set[str] = set()
    end, open_word, is_thinking = 0, "", False
    for mark in _MARK.finditer(text):
        if _is_quoted(text, mark):
            continue
        found = _WORD_TAG.match(mark[0])
        word = found[1].lower() if found else ""
        if word and mark["opens"] and _LETTER.search(text, end, mark.start()):
            mentioned |= set() if is_thinking else {word}
            continue
        is_due = not word or mark["opens"] or (is_thinking and word == open_word)
        if not is_due and (word in mentioned or not (word in opened or _stands_out(text, mark))):
            continue
        if mark["opens"]:
            opened.add(word)
            open_word = word
        end, is_thinking = mark.end(), bool(mark["opens"])
        yield mark


def _stands_out(text: str, mark: re.Match[str]) -> bool:
    begins_line = _LINE_BEGINS.search(text[max(0, mark.start() - 40) : mark.start()])
    return bool(_BLANK_LINE.match(text, mark.end()) or (begins_line and _LINE_ENDS.match(text, mark.end())))


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    before, after = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 1]
    return bool(before and after) and before in _QUOTES and after in _QUOTES


def _without_channels(text: str) -> str | None:
    """What is on the channel `final`; all of it where there are no channels."""
    if _BARE_CHANNEL.match(text):
        return text.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in text else None
    channels = list(_CHANNEL.finditer(text))
    if not channels:
        return None if text.lstrip().startswith("<|channel|>") else text
    if channels[-1][1].lower() != "final":
        return None
    return _CHANNEL_ENDS.split(text[channels[-1].end() :], maxsplit=1)[0]


def _without_prose(text: str | None) -> str | None:
    """What follows thoughts that begin with a sentence of their own."""
    if text is None or not _PROSE.match(text) or next(_marks(text), None):
        return text
    end = _PROSE_ENDS.search(text)
    return text[end.end() :] if end else None
