"""Keys: the same content has the same one, also for runs that were made before a field was there."""

from __future__ import annotations

from dataclasses import replace

from selfedit.records import Example, Prompt, TrainingConfig, TrialSpec, digest

STUDY = TrialSpec((Example("text"), Example("reply", Prompt("request"))), ())


def test_a_key_stays_what_it_was_before_fields_were_added() -> None:
    assert digest({"model": "m"}, "", STUDY, TrainingConfig(rank=8), 7) == "ce0b05bb7c174e78f06bf01c"


def test_a_path_that_is_no_utf_8_has_a_key_of_its_own() -> None:
    assert len({digest({"data": data}) for data in ("caf\udce9", "caf\udce8", "cafe", "café")}) == 4


def test_fields_that_were_added_are_part_of_a_key_once_they_say_something() -> None:
    taught = replace(STUDY, examples=(Example("text", teacher=Prompt("passage")), STUDY.examples[1]))
    assert digest(taught) != digest(STUDY)
    assert digest(TrainingConfig(method="full")) != digest(TrainingConfig())
