"""L1. A text becomes the tokens that are compared: words, numbers with their sign, symbols that change what is named.

Where words are parted by spaces, a token is what stands between them, without its punctuation and without English
articles, as in SQuAD's evaluation script. Departures from it:

1. Scripts without spaces (Chinese, Japanese, Thai, Khmer, Lao, Burmese) have a token for each letter with its marks,
   for where words end is not written. A number, in digits or Chinese numerals, and a run of katakana are one token.
2. What tells a number from another stays in it: 3.14, 1/12, 24-10, -5, 1e-5, -π. What tells a name from another stays
   with it: C++, C#, A+, A-, .NET, Cl-, m/s. Symbols such as % and $ are tokens of their own; "percent" is the same
   token as %.
3. "A" is an article in front of a word, and a letter elsewhere ("vitamin A", "A is right").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from selfedit.grading.folding import fold, fold_case


def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.VERSION1 | regex.VERBOSE)


_LETTER = r"[\p{L}\p{N}\p{M}]"
_SPACELESS = r"[[\p{Line_Break=SA}\p{Han}\p{Hiragana}\p{Bopomofo}\p{Yi}々〆〇]&&[\p{L}\p{N}]]"
_KATAKANA = r"[\p{Katakana}ー゛゜]"
_NUMERAL, _MAGNITUDE = "〇零一二两兩三四五六七八九十百千万萬亿億兆壹贰叁肆伍陆柒捌玖拾佰仟廿卅", "十百千万萬亿億兆"

_NUMBER_WORD = (
    r"(?i:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|half)\b"
)
_MINUS_WORD = _compiled(
    rf"\b(?i:minus|negative)\s+(?=\p{{Sc}}?\d|{_NUMBER_WORD}|∞|[\p{{Latin}}\p{{Greek}}](?!{_LETTER}|'))"
)
_NOT = _compiled(r"(?<=¬)\s+")
_PLUS_POWER = _compiled(r"(?<=\d[eE])\+(?=\d)")
_PERCENT = _compiled(r"\b(?i:per[\ -]?cent)\b")
_MIXED_NUMBER = _compiled(r"(?<=(?<![\d.,/-])\d{1,3})\ (?=\d{1,2}/\d{1,2}(?![\d/]))")
_THOUSANDS = _compiled(r"(?<=(?<![\d.,])\d{1,3}(?:,\d{2,3})*),(?=(?:\d{2,3},)*\d{3}(?!\d))")
_THOUSANDS_BY_DOTS = _compiled(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])")
_US_DOLLAR = _compiled(r"\bU\.?S\.?\s?(?=\$)")
_SIGNED_MONEY = _compiled(r"-(\p{Sc})(?=\d)")
_MONEY_BEHIND = _compiled(r"(-?\d[\d.,]*)\s?(\p{Sc})(?!\s*\d)")

_EMPHASIS = _compiled(r"(?<!\w)([*_]{1,3})(?=\S)([^*_\n]+?)(?<=\S)\1(?!\w)")
"""Markdown, whose asterisks are no part of a name such as A*."""
_LONE_A = r"(?<![\w\p{M}'.&/@+¬-])[aA](?![\w\p{M}+\#*]|['&/@-]\w|-(?!\w))"
_BEGINS = r"(?<=(?:^|[.!?:\n])[\s\"'*(]*A)"
_NEVER_AFTER_ARTICLE = (
    "is|was|are|were|has|had|can|could|will|would|and|or|of|to|in|on|for|with|because|as|at|by|from|that|which"
)
_INITIAL_A = _compiled(rf"{_LONE_A}(?=\.\s*\p{{Lu}})")
_LETTER_A = _compiled(
    rf"""{_LONE_A} (?: (?!\s+["'*\p{{Sc}}]*\w) | {_BEGINS}(?=\s+(?:{_NEVER_AFTER_ARTICLE})\b) | (?<=A)(?!{_BEGINS}) )"""
)
"""Followed by no word, or by one that no article precedes; or a capital within a sentence."""
_SIGNED = r"(?<![^\s(\"'\[<>=≈±:*])-"
_SPACED = rf"[[\p{{Latin}}\p{{Greek}}\p{{Cyrillic}}\d]&&{_LETTER}]"
"""What an operator can stand between."""
_AS_LETTER, _AS_INITIAL = "\ufdd0", "\ufdd1"
"""Stand for the letter while a text is taken apart; a folded text never holds them."""

_KEPT = rf"""
    (?<=\d)[.,:/-](?=\d)                                                # 3.14, 1/12, 24-10
  | (?<!(?!{_SPACELESS}|\p{{Hangul}})[^\s("'\[<>=≈±:*\p{{Sc}}])-(?=\.?\d)  # -5
  | (?<![^\s("'\[*\p{{Sc}}-])\.(?=\d|\p{{L}}{{2}})                      # .5, .NET
  | (?<=\d[eE])-(?=\d)                                                # 1e-5
  | ¬(?=[\w(])                                                        # ¬p
  | {_SIGNED}(?={_NUMBER_WORD}|[{_NUMERAL}])                           # -five, -三
  | {_SIGNED}(?=[\p{{Latin}}\p{{Greek}}](?!{_LETTER}|'))(?![aeiouyàAEIOUY]\s+\w)  # -π, -x
  | (?<=(?<!{_LETTER})(?:\p{{Lu}}|AB|Cl|Br|OH|CN|e))-(?![\w-])          # A-, AB-, Cl-
  | (?<=(?<!{_LETTER})(?:\p{{Lu}}\p{{Ll}}?\d*)+\d|\^\d+)[+-](?![\w+-])   # NO3-, Fe3+, SO4²⁻
  | (?<=(?<!{_LETTER})\p{{L}})--(?!\w)                                 # C--
  | (?<=(?<!{_LETTER})\p{{L}})-(?=\p{{L}}(?!{_LETTER}))                 # x-y
  | (?<={_SPACED})[/*](?={_SPACED}(?!{_LETTER})) | (?<=(?<!{_LETTER}){_SPACED})[/*](?={_SPACED})  # x/y, m/s
  | (?<=\p{{L}}\+?)\+                                                  # C++, A+, Sky+
  | (?<=(?<!{_LETTER})\p{{L}})\*(?![\w*]) | (?<=\p{{L}})[\#♭](?![\w*])  # A*, C#, Do#
  | (?<={_LETTER})\^(?=[\w-]) | (?<=\^)-                                # 10^-2
  | °(?=[CFK]\b)
"""
_APART = rf"(?<={_KATAKANA})[=-](?={_KATAKANA}) | \| | [\p{{Po}}--[\x00-\x7f·‰‱]]"
_ALONE = rf"(?:{_SIGNED})?∞ | !?[<>=]=+ | " + r"[[\p{Sm}\p{Sc}\p{So}%‰‱]--[|~]]"
_UNSEGMENTED = _compiled(rf"{_SPACELESS}|{_KATAKANA}|\p{{Hangul}}")
"""Korean too: particles are written onto its words."""
_MARK = _compiled(rf"(?P<kept>{_KEPT}) | (?P<apart>{_APART}) | (?P<alone>{_ALONE}) | [\p{{P}}\p{{S}}]")
_TOKEN = _compiled(
    rf"""-?(?:\d[\d.,]*)?[{_MAGNITUDE}][{_NUMERAL}\d]* | -?[{_NUMERAL}][{_NUMERAL}\d]*
       | -?\d[\d.,]*(?:[십백천만억조]+\d*)+
       | {_KATAKANA}+
       | [เ-ไເ-ໄ]?{_SPACELESS}(?:\p{{M}}|[ะาๅະາ]|(?<=[\u1039\u17d2\u1a60])\p{{L}})*
       | \p{{Hangul}}+
       | (?:(?!{_SPACELESS}|{_KATAKANA}|\p{{Hangul}})\S)+
       | \S"""
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number or a symbol."""

    text: str
    """Without case and differences of spelling, see `fold`."""
    is_optional: bool = False
    """The English "a" in front of a word, or an initial: it may be left out. "An" and "the" always are."""
    is_article: bool = False
    """The English "a" in front of a word."""
    is_capital: bool = False
    """It begins with a capital."""

    @property
    def bare(self) -> str:
        """Letters and digits alone: what is left where symbols are passed over."""
        return "".join(letter for letter in self.text if letter.isalnum())


@lru_cache(maxsize=8192)
def read_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a text, in order; none where it is nothing but articles and punctuation."""
    plain = _with_plain_numbers(_EMPHASIS.sub(r"\2", fold(text)))
    plain = _LETTER_A.sub(f" {_AS_LETTER} ", _INITIAL_A.sub(f" {_AS_INITIAL} ", plain))
    return tuple(_tokens(_TOKEN.findall(_MARK.sub(_unmarked, plain))))


def is_segmented(text: str) -> bool:
    """Whether spaces part its words, so that words can be compared one by one."""
    return not _UNSEGMENTED.search(fold(text))


def is_letter(text: str) -> bool:
    """Whether it is a single letter, perhaps with symbols: "A", "C++"."""
    tokens = read_tokens(text)
    return len(tokens) == 1 and len(tokens[0].bare) == 1 and tokens[0].bare.isalpha()


def _with_plain_numbers(text: str) -> str:
    """Numbers without marks of thousands, with the sign of a currency in front; "percent" as its symbol."""
    text = _MINUS_WORD.sub("-", _MIXED_NUMBER.sub("-", _PLUS_POWER.sub("", _NOT.sub("", text))))
    text = _PERCENT.sub(" % ", text)
    text = _THOUSANDS_BY_DOTS.sub(lambda found: found[0].replace(".", ""), _THOUSANDS.sub("", text))
    return str(_MONEY_BEHIND.sub(r"\2\1", _SIGNED_MONEY.sub(r"\1-", _US_DOLLAR.sub("", text))))


def _unmarked(found: regex.Match[str]) -> str:
    """What becomes of a mark: it stays, stands alone, parts two words, or is passed over."""
    if found["kept"]:
        return " °" if found[0] == "°" else str(found[0])
    if found["alone"]:
        return f" {found[0]} "
    return " " if found["apart"] else ""


def _tokens(words: Sequence[str]) -> Iterator[Token]:
    for word in words:
        text = fold_case(word)
        if text == _AS_LETTER:
            yield Token("a")
        elif text == _AS_INITIAL:
            yield Token("a", is_optional=True)
        elif text not in ("an", "the"):
            is_article = text == "a"
            yield Token(text, is_article, is_article, word[0].isupper())
