"""L1. How alike two words are, 0 to 1: inflection, derivation, spelling, and a small thesaurus of everyday words.

The thesaurus holds words of general English, peoples and their countries where the spelling does not show the kinship,
and common short forms; of the published verdicts, only those of the fitting half were looked at in writing it.
"""

from __future__ import annotations

from functools import lru_cache

INFLECTED = 1.0
DERIVED = 0.85
SYNONYM = 0.75
MISSPELT = 0.8
CLOSE_SPELLING = 0.7
"""Least share of letter pairs that two spellings of one word have in common."""

_INFLECTIONS = frozenset(["", "s", "es", "d", "ed", "ing", "e", "ly", "y", "ies", "ied", "er", "ers", "est", "'"])
_DERIVATIONS = _INFLECTIONS | frozenset(
    """ic ical ically ics ism isms ist ists istic ian ians an ans n ns en ese ish ment ments ion ions ation ations
    ative ition itions ity ities ness ous us ive ives able ible al ally ial or ors ar ary ance ant ants ence ent ents
    ure ures age ful less ize ise ized ised izing ising ization isation land lands man men i ia is a o um t te ted ting
    tion tions tic tive ve c ce cy ry yer yers ving ves f fe se sion sions ded de th""".split()
)
_GROUPS = """
decrease reduce shrink lower decline diminish drop fall cut lessen fell slow hinder impede hamper inhibit limit less
increase rise grow raise higher rose growth boost expand improve encourage promote more
begin start commence initiate launch began begun founding
end finish conclude terminate stop cease halt
large big huge vast great enormous massive substantial
small little tiny minor
kill murder slay death die dead
buy purchase acquire
make create produce build construct made built form
help aid assist support
show demonstrate reveal
important significant crucial essential vital key major
many numerous several multiple various
main primary chief principal
quick fast rapid swift
rich wealthy affluent
poor impoverished
sick ill
child kid children
car automobile vehicle
movie film
ship boat vessel
war conflict
king monarch
cause lead produce
change alter modify adapt transform evolve
use employ utilize
say state claim declare
allow permit enable let
require need demand
separate split divide
join unite combine merge
fight battle combat
attack assault raid invade
oppose resist against
support favor
trade commerce
wide broad
equal even fair
common frequent widespread prevalent
rare uncommon scarce
hot warm
cold cool chilly
dirty polluted
rock stone
island isle
leader head chief ruler
soldier troop army military force
worker laborer employee
farmer peasant agricultural farming
money cash
price cost expense
rule reign govern
belief faith
nobleman noble aristocrat
inhabitant resident population citizen people
muslim islam islamic
christian christianity
jewish jews judaism hebrew
city town
church religious
law legal act statute
job occupation profession employment
near close nearby
hinder harm
harmful negative adverse detrimental bad
beneficial positive good
encourage promote foster stimulate
prevent stop avoid
protect defend guard safeguard
return retrieve
choose select pick elect
get obtain receive gain
leave depart left
destroy demolish ruin
kind type sort
stage phase step
part portion section component
whole entire complete full
modern contemporary
old ancient elderly
teacher educator instructor
student pupil
doctor physician
money fund finance
idea concept notion
hypothesis theory law principle
border boundary
area region zone territory
sea ocean
british britain english england uk
america american us usa
france french
germany german
netherlands dutch holland
spain spanish
poland polish
sweden swedish
denmark danish
turkey turkish ottoman
scotland scottish scots
wales welsh
ireland irish
switzerland swiss
greece greek
norway norwegian
portugal portuguese
soviet ussr
tv television
photo photograph
company corporation corp co inc firm business
university college
government governmental
equal even same
different differ difference
simple simplest
fear afraid concern concerned worry worried threat
angry anger
damage injury injure wound harm hurt
disease illness sickness
"""
_GROUPS_OF: dict[str, frozenset[int]] = {}
for _number, _line in enumerate(_GROUPS.strip().splitlines()):
    for _word in _line.split():
        _GROUPS_OF[_word] = _GROUPS_OF.get(_word, frozenset()) | {_number}


@lru_cache(maxsize=65536)
def likeness(one: str, other: str) -> float:
    """1 for the same word in whatever inflection, less for kin, 0 for strangers."""
    if one == other:
        return 1.0
    if one[0].isdigit() or other[0].isdigit():
        return 0.0
    kinship = _kinship(one, other) if one[0] == other[0] else 0.0
    if kinship >= DERIVED:
        return kinship
    return SYNONYM if _groups(one) & _groups(other) else kinship


def _kinship(one: str, other: str) -> float:
    """Likeness by spelling alone, of two words that begin alike."""
    shared = _common_prefix(one, other)
    tails = one[shared:], other[shared:]
    if shared >= 3:
        if all(tail in _INFLECTIONS for tail in _undoubled(one, shared, tails)):
            return INFLECTED
        if all(tail in _DERIVATIONS for tail in tails) and 2 * shared >= max(len(one), len(other)):
            return DERIVED
    if _may_be_misspelt(one, other) and _dice(one, other) >= CLOSE_SPELLING:
        return MISSPELT
    return 0.0


@lru_cache(maxsize=65536)
def _groups(word: str) -> frozenset[int]:
    for tail in ("", "s", "es", "d", "ed", "ing", "ly", "er"):
        for end in ("", "e"):
            stem = word[: len(word) - len(tail)] + end if tail and word.endswith(tail) else word
            if stem in _GROUPS_OF:
                return _GROUPS_OF[stem]
    return frozenset()


def _common_prefix(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _undoubled(one: str, shared: int, tails: tuple[str, str]) -> tuple[str, ...]:
    """Tails without the consonant that English doubles: "stop", "stop|ped"."""
    return tuple(tail[1:] if tail[:1] == one[shared - 1] else tail for tail in tails)


def _may_be_misspelt(one: str, other: str) -> bool:
    """Long enough to tell, and near enough in length that most letter pairs could be shared."""
    short, long = sorted((len(one), len(other)))
    return short >= 4 and 2 * short >= CLOSE_SPELLING * (short + long)


def _dice(one: str, other: str) -> float:
    """Share of letter pairs in common; beginning alike counts as one of them."""
    pairs_one = {one[i : i + 2] for i in range(len(one) - 1)}
    pairs_other = {other[i : i + 2] for i in range(len(other) - 1)}
    return 2 * (len(pairs_one & pairs_other) + 1) / (len(pairs_one) + len(pairs_other) + 2)
