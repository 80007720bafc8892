"""L1. How far an answer agrees with the gold answer: SQuAD v1.1's measures, on tokens that know scripts and symbols.

Departures from SQuAD's evaluation script, beside those of tokens.py:
1. A gold answer without tokens ("The", "?!") agrees only with the same raw text, or where it stands by itself in the
   answer; SQuAD would let it agree with the empty answer.
2. A Korean word agrees with itself and a particle behind it: 서울 is in 서울에서, and not in 서울대.
3. An amount of money agrees with the same in words: $5 million with 5 million dollars.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import regex

from selfedit.grading.folding import fold
from selfedit.grading.tokens import Token, read_tokens

Same = Callable[[Token, Token], bool]
"""Whether (a gold token, a token of the answer) say the same."""

_MONEY = {
    "$": "dollars dollar usd",
    "€": "euros euro eur",
    "£": "pounds pound gbp",
    "¥": "yen yuan jpy cny rmb",
    "₹": "rupees rupee inr",
    "₩": "won krw",
}
_SYMBOL_OF = {word: symbol for symbol, words in _MONEY.items() for word in words.split()}
_UNITS = frozenset(["%", *_MONEY])
_WORDS_OF = {
    **_MONEY,
    "%": "percentage pct",
    "‰": "mille permille thousand",
    "±": "plus",
    "<": "less fewer under below than",
    ">": "more greater over above than",
    "≤": "most maximum up less than",
    "≥": "least minimum more greater than",
}
"""Symbols that mean something else when left out, with words that can say them."""
_FORMULA_MARK = regex.compile(r"(?<=[\d)'\"]|(?<!\p{L})\p{L})[!'\"]")
_KEPT_MARKS = str.maketrans("!'\"", "\ue000\ue001\ue002")
"""Stand for the marks where these are no punctuation, and so stay with what they stand behind."""
_MAGNITUDES = ("hundred", "thousand", "million", "billion", "trillion")
_HANGUL = regex.compile(r"\p{Hangul}+")
_PARTICLES = regex.compile(
    r"(?:들)?(?:의|에|에게|에서|께|께서|한테|도|만|부터|까지|보다|처럼|같이|마다|조차|마저|밖에|하고|라도|서|인|입니다|였습니다|이었습니다"
    r"|이다|였다|이었다|이며|이고|이라고|이라는|라고|라는|예요|이에요|는|은|가|이|를|을|와|과|로|으로){0,3}"
)
_AFTER_VOWEL, _AFTER_CONSONANT = ("는", "가", "를", "와", "였", "라", "예"), ("은", "이", "을", "과", "으")
_FIRST_SYLLABLE, _LAST_SYLLABLE, _FINALS, _FINAL_L = 0xAC00, 0xD7A3, 28, 8


def normalise(text: str) -> str:
    """What is compared, as text: lower-case words without punctuation and English articles, parted by single spaces."""
    return " ".join(_words(text))


def exact(gold: str, answer: str) -> bool:
    """Equal token by token."""
    wanted, said = _read(gold, answer)
    if not _words(gold):
        return _is_same_text(gold, answer)
    return _end(wanted, said, 0, _is_equal) == len(said)


def is_same_line(gold: str, answer: str) -> bool:
    """The very line, but for white space: for actions, which are carried out as they stand."""
    return gold.split() == answer.split() != []


def contains(gold: str, answer: str) -> bool:
    """The gold answer's tokens occur in the answer, whole and in order: 14 is not in 1914, C is not in C++."""
    gold_tokens, said = _read(gold, answer)
    if not _words(gold):
        return _is_same_text(gold, answer) or _stands_alone(gold, answer)
    return any(
        _end(wanted, said, start, _agrees) is not None
        for wanted in _ways_of_saying(gold_tokens)
        for start in range(len(said))
    )


def f1(gold: str, answer: str) -> float:
    """Harmonic mean of the precision and recall of the answer's tokens, 0 to 1."""
    gold_words, answer_words = _words(gold), _words(answer)
    if not gold_words:
        return float(_is_same_text(gold, answer))
    if any(word in _UNITS for word in gold_words):
        gold_words, answer_words = _with_units(gold_words), _with_units(answer_words)
    else:
        answer_words = [word for word in answer_words if word not in _UNITS]
    shared = (Counter(gold_words) & Counter(answer_words)).total()
    return 2 * shared / (len(gold_words) + len(answer_words))


def differs_in_symbols(gold: str, answer: str) -> bool:
    """The answer has a word of the gold answer with other symbols only (C for C++, 5 for -5, 314 for 3.14), or lacks
    its letter A; for graders that look at words alone."""
    wanted, said = _read(gold, answer)
    texts, bares = {token.text for token in said}, {token.bare for token in said}
    other = {token.text for token in said if not token.bare} - {token.text for token in wanted}
    missing = [token for token in wanted if token.text not in texts and not token.is_optional]
    return any(
        token.bare in bares or token.text == "a"
        if token.bare
        else other or (token.text in _WORDS_OF and not texts & {*_WORDS_OF[token.text].split()})
        for token in missing
    )


def is_among(gold: str, answer: str) -> bool:
    """The answer is a JSON list of attempts, and one of them is the gold answer, which is JSON too."""
    try:
        wanted, attempts = json.loads(gold), json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(attempts, list) and wanted in attempts


def _read(gold: str, answer: str) -> tuple[Sequence[Token], Sequence[Token]]:
    """The tokens of both. In a gold answer without longer words, "10!", "f'" and "5\"" are more than 10, f and 5; an
    answer that says 10! where 10 is asked for merely exclaims."""
    folded = fold(gold).strip()
    if regex.search(r"\p{L}{2}", folded) or folded[:1] in "'\"" or not _FORMULA_MARK.search(folded):
        return read_tokens(gold), read_tokens(answer)
    kept = [_FORMULA_MARK.sub(lambda found: found[0].translate(_KEPT_MARKS), fold(text)) for text in (gold, answer)]
    return read_tokens(kept[0]), read_tokens(kept[1])


def _words(text: str) -> list[str]:
    return [token.text for token in read_tokens(text) if not token.is_optional]


def _with_units(words: Sequence[str]) -> list[str]:
    """Words with % and $ joined to their number: by themselves they would be a word that 5 % and 7 % share."""
    joined: list[str] = []
    for word in words:
        is_unit = word == "%" and joined and joined[-1][-1:].isdigit()
        if is_unit or (word[-1:].isdigit() and joined and joined[-1] in _MONEY):
            word = joined.pop() + word
        joined.append(word)
    return joined


def _end(wanted: Sequence[Token], said: Sequence[Token], start: int, is_same: Same) -> int | None:
    """Where what is wanted ends if it is said from `start` on; None where it is not. Articles may be left out."""
    at = start
    is_letter = [token.text for token in wanted] == ["a"]
    for token in wanted:
        while at < len(said) and said[at].is_optional and not is_same(token, said[at]):
            at += 1
        if at < len(said) and is_same(token, said[at]) and not (is_letter and said[at].is_article):
            at += 1
        elif not token.is_optional or (token.is_capital and at and _is_other_letter(said[at - 1])):
            return None
    return at


def _is_equal(wanted: Token, said: Token) -> bool:
    return wanted.text == said.text


def _agrees(wanted: Token, said: Token) -> bool:
    """Equal, but for a particle behind a Korean word."""
    if wanted.text == said.text:
        return True
    return bool(said.text.startswith(wanted.text) and _HANGUL.fullmatch(said.text)) and _is_particle(
        wanted.text[-1], said.text[len(wanted.text) :]
    )


def _is_particle(before: str, rest: str) -> bool:
    """Whether `rest` can be written behind a word that ends in the syllable `before`."""
    if not _PARTICLES.fullmatch(rest) or not _FIRST_SYLLABLE <= ord(before) <= _LAST_SYLLABLE:
        return False
    final = (ord(before) - _FIRST_SYLLABLE) % _FINALS
    if rest.startswith("로"):
        return final in (0, _FINAL_L)
    return not rest.startswith(_AFTER_VOWEL if final else _AFTER_CONSONANT) or (not final and rest.startswith("이"))


def _is_other_letter(token: Token) -> bool:
    """A lone capital, as in "B minor", which "A minor" is not."""
    return len(token.text) == 1 and token.text.isascii() and token.text.isalpha() and token.text not in "ai"


def _ways_of_saying(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens, and the same with its first amount of money in words, or in words with its symbol."""
    yield tokens
    for at, token in enumerate(tokens):
        if token.text in _MONEY:
            end = _amount_end(tokens, at + 1)
            for word in _MONEY[token.text].split() if end > at + 1 else ():
                yield [*tokens[:at], *tokens[at + 1 : end], Token(word), *tokens[end:]]
            return
        end = _amount_end(tokens, at)
        if at < end < len(tokens) and (symbol := _SYMBOL_OF.get(tokens[end].text)):
            yield [*tokens[:at], Token(symbol), *tokens[at:end], *tokens[end + 1 :]]
            return


def _amount_end(tokens: Sequence[Token], at: int) -> int:
    """Where the number that begins at `at` ends, with its million; `at` itself where none begins."""
    if at < len(tokens) and tokens[at].text[-1:].isdigit():
        at += 1
        while at < len(tokens) and tokens[at].text in _MAGNITUDES:
            at += 1
    return at


def _stands_alone(gold: str, answer: str) -> bool:
    """A gold answer of punctuation alone is a part of the answer by itself, bare or quoted."""
    mark = fold(gold).strip()
    is_mark = bool(mark) and not any(letter.isalnum() for letter in mark)
    return is_mark and any(
        mark in (part, part.rstrip(".,").strip("\"'()"), part.strip("\"'()")) for part in fold(answer).split()
    )


def _is_same_text(gold: str, answer: str) -> bool:
    return gold.strip() == answer.strip()
