"""L0. English words that say nothing of what a text is about."""

from __future__ import annotations

EMPTY_WORDS = frozenset(
    "a about after all also an and any are as at be became because been before being between both but by can could did"
    " do does doing during each else every few for from give given had has have having he her here him his how i if in"
    " into is it its kind made make many may might more most much must my name named no nor not of off on once one only"
    " or other our out over own part people per said same she should since so some such than that the their them then"
    " there these they thing this those through to too two type under until up upon us use used very was we were what"
    " when where which while who whom whose why will with within without would you your".split()
)
"""Words that any text may have."""
