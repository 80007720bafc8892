"""L3. `kl`: on texts that the model wrote on from general openings before it learnt anything, it is held to what it
expected then. The loss is the cross-entropy against these expectations: their Kullback-Leibler divergence from the
present ones, plus a constant."""

from __future__ import annotations

import random
from dataclasses import replace

from selfedit.loop.chains import Remedy, Step, spread
from selfedit.records import Example, Prompt
from selfedit.versions import Update


def anchor(step: Step, updates: list[Update]) -> list[Update]:
    """Each update with anchored texts in each epoch."""
    held = [Example(text, teacher=Prompt("", plain=True), is_anchored=True) for text in step.course.general]
    anchored = []
    for chain, update in zip(step.chains, updates, strict=True):
        drawn = spread(held, step.course.config.anchors, update.settings.epochs, random.Random(step.seed(chain, "kl")))
        anchored.append(replace(update, examples=(*update.examples, *drawn)))
    return anchored


KL = Remedy("kl", "held to the untouched model on general text", plan=anchor, reads_general=True)
