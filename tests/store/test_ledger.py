"""The ledger keeps what it is given, once, in a fixed order, and refuses files that it cannot read."""

import contextlib
import itertools
import json
import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.records import (
    CheckedLine,
    Context,
    GradedAnswer,
    LineCheck,
    Outcome,
    Policy,
    Question,
    ScoredEdit,
    SelfEdit,
    Stage,
    StageUsage,
    Timing,
    Usage,
    Version,
)
from selfedit.store import Ledger

ROUND, BASE = Stage.round(1), Stage.of("base")
ANSWER = GradedAnswer("c1#1", "Wer?", "Ålvik", "Ålvik\n\u2028\x00", -1 / 3, "correct", True, 0.1 + 0.2, True)
OUTCOME = Outcome("k", ROUND, "synthetic", "c1", "e1", 0, 2, (ANSWER, ANSWER), (2.5, 1e-300), 7, 90, 0.25)
EDIT = SelfEdit("e1", "c1", ROUND, 0, 0, "1. Nine huts.", 5)
CONTEXT = Context("c1", "Title", "Text", (Question("c1#1", "Wer?", "Ålvik"), Question("c1#2", "Was?", "Rad")))


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def fill(ledger, seconds=1.0):
    ledger.put_contexts("train", [CONTEXT])
    ledger.add_edits([EDIT])
    ledger.add_outcomes([replace(OUTCOME, seconds=seconds)])
    ledger.add_scored(ROUND, [ScoredEdit("e1", "c1", 0.5, None, -0.25, 0.5, True)])
    ledger.add_policy(Policy(1, "adapters/1", "abc", 0), ["e1"], seconds)
    ledger.add_timing(ROUND, "trials", seconds)


def test_every_kind_of_record_comes_back_equal_after_reopening(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, seconds=0.25)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.contexts("train") == [CONTEXT]
        assert ledger.edits(ROUND) == [EDIT]
        assert ledger.outcomes(ROUND) == [OUTCOME]
        assert ledger.scored() == [(ROUND, ScoredEdit("e1", "c1", 0.5, None, -0.25, 0.5, True))]
        assert ledger.policies() == [Policy(1, "adapters/1", "abc", 0)]
        assert ledger.trained_on(1) == ["e1"]
        ones = dict.fromkeys(("contexts", "edits", "outcomes", "scored", "policies", "stages"), 1)
        assert ledger.counts() == {**ones, "versions": 0}


def test_tuples_stay_tuples_and_floats_keep_every_bit(ledger):
    drawn = random.Random(0)
    losses = tuple(drawn.uniform(-1, 1) * 10 ** drawn.randint(-300, 300) for _ in range(2000))
    ledger.add_outcomes([replace(OUTCOME, losses=losses)])
    (found,) = ledger.outcomes()
    assert found.losses == losses
    assert isinstance(found.answers, tuple)
    assert isinstance(found.answers[0], GradedAnswer)


def test_adding_twice_changes_nothing(ledger):
    fill(ledger)
    counts, fingerprint = ledger.counts(), ledger.fingerprint()
    fill(ledger)
    assert (ledger.counts(), ledger.fingerprint()) == (counts, fingerprint)


def test_a_trial_tried_again_takes_the_place_of_its_failure(ledger):
    ledger.add_outcomes([replace(OUTCOME, answers=(), failure="out of memory")])
    ledger.add_outcomes([OUTCOME])
    assert ledger.outcomes() == [OUTCOME]


def test_one_trial_may_serve_several_edits_and_stages(ledger):
    served = [OUTCOME, replace(OUTCOME, edit_key="e2"), replace(OUTCOME, stage=BASE, edit_key="")]
    ledger.add_outcomes(served)
    assert ledger.counts()["outcomes"] == 3
    assert ledger.outcomes(BASE) == served[2:]


def test_one_edit_may_be_of_two_stages(ledger):
    ledger.add_edits([EDIT, replace(EDIT, stage=BASE)])
    assert [edit.stage for edit in ledger.edits()] == [BASE, ROUND]


def test_order_and_fingerprint_do_not_depend_on_the_order_of_arrival(tmp_path):
    edits = [SelfEdit(f"k{i % 3}{c}", c, ROUND, i, 0, "text", 1) for c in ("c1", "c2") for i in range(12)]
    outcomes = [replace(OUTCOME, key=f"t{i}", seed_index=i % 3, edit_key=f"e{i % 2}") for i in range(12)]
    found = []
    for seed in range(3):
        with Ledger(tmp_path / f"{seed}.db") as ledger:
            order = random.Random(seed)
            for edit in order.sample(edits, len(edits)):
                ledger.add_edits([replace(edit, key=f"{edit.key}{edit.index}")])
            ledger.add_outcomes(order.sample(outcomes, len(outcomes)))
            found.append((ledger.edits(), ledger.outcomes(), ledger.fingerprint()))
    assert found[0] == found[1] == found[2]
    assert [edit.index for edit in found[0][0]] == [*range(12), *range(12)]


def test_contexts_keep_the_order_in_which_they_were_put_and_replace_their_split(ledger):
    contexts = [replace(CONTEXT, id=name) for name in ("z", "a", "m")]
    ledger.put_contexts("train", contexts)
    ledger.put_contexts("heldout", contexts[:1])
    ledger.put_contexts("train", contexts[1:])
    assert [context.id for context in ledger.contexts("train")] == ["a", "m"]
    assert [context.id for context in ledger.contexts()] == ["z", "a", "m"]


def test_timings_add_up_over_restarts(tmp_path):
    for seconds in (1.5, 2.0):
        with Ledger(tmp_path / "ledger.db") as ledger:
            ledger.add_timing(ROUND, "trials", seconds)
            ledger.add_timing(BASE, "trials", 0.5)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.timings() == [Timing(BASE, "trials", 1.0), Timing(ROUND, "trials", 3.5)]


def test_usage_adds_up_by_stage_role_and_model_over_restarts(tmp_path):
    for _ in range(2):
        with Ledger(tmp_path / "ledger.db") as ledger:
            ledger.add_usage(ROUND, "judge", "m", Usage(3, 1, 1, 0, 100, 6, 0.25))
            ledger.add_usage(ROUND, "writer", "m", Usage(1, 0, 0, 0, 10, 20, None))
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_usage(BASE, "judge", "m", Usage(1, cost=0.5))
        ledger.add_usage(BASE, "judge", "m", Usage(1, unmetered=1))
        assert ledger.usages() == [
            StageUsage(BASE, "judge", "m", Usage(2, 0, 0, 1, 0, 0, None)),
            StageUsage(ROUND, "judge", "m", Usage(6, 2, 2, 0, 200, 12, 0.5)),
            StageUsage(ROUND, "writer", "m", Usage(2, 0, 0, 0, 20, 40, None)),
        ]


def test_a_ledger_in_which_nothing_was_used_is_not_changed_by_asking(ledger):
    fill(ledger)
    fingerprint = ledger.fingerprint()
    assert ledger.usages() == []
    ledger.add_usage(ROUND, "judge", "m", Usage(1))
    assert ledger.fingerprint() == fingerprint  # a resumed run asks the cache instead, and is the same run


def test_the_fingerprint_ignores_times(tmp_path):
    fingerprints = set()
    for seconds in (1.0, 2.0):
        with Ledger(tmp_path / f"{seconds}.db") as ledger:
            fill(ledger, seconds)
            fingerprints.add(ledger.fingerprint())
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: ledger.add_outcomes([replace(OUTCOME, steps=8)]),
        lambda ledger: ledger.add_edits([replace(EDIT, text="other")]),
        lambda ledger: ledger.add_policy(Policy(1, "adapters/1", "abc", 0), ["e2"], 1.0),
        lambda ledger: ledger.put_contexts("train", []),
        lambda ledger: ledger.add_scored(Stage.round(2), [ScoredEdit("e1", "c1", 0.5, None, -0.25, 0.5, True)]),
    ],
)
def test_the_fingerprint_sees_any_other_change(ledger, change):
    fill(ledger)
    before = ledger.fingerprint()
    change(ledger)
    assert ledger.fingerprint() != before


def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(ledger):
    with pytest.raises(ValueError, match="JSON compliant"):
        ledger.add_outcomes([OUTCOME, replace(OUTCOME, key="k2", seconds=float("nan"))])
    assert ledger.outcomes() == []
    with pytest.raises(sqlite3.IntegrityError):
        ledger.put_contexts("train", [CONTEXT, CONTEXT])
    assert ledger.contexts() == []


def test_a_second_reader_sees_what_is_written_while_the_run_goes_on(ledger):
    with Ledger(ledger.path) as reader:
        ledger.add_edits([EDIT])
        assert reader.edits() == [EDIT]


def test_an_unknown_version_of_the_policy_raises(ledger):
    with pytest.raises(KeyError, match="no policy of version 3"):
        ledger.trained_on(3)


def one_line_about(path):
    return pytest.raises(SelfeditError, match=rf"^[^\n]*{path.name}: [^\n]+$")


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_text("not a database, but long enough to look like a header of one. " * 20)
    with one_line_about(path):
        Ledger(path)


def test_a_damaged_ledger_is_refused_by_name(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        fill(ledger)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with one_line_about(path):
        Ledger(path)


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "PRAGMA user_version = 0", "DROP TABLE edits"])
def test_another_schema_is_refused_by_name(tmp_path, statement):
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    other = sqlite3.connect(path)
    other.execute(statement)
    other.close()
    with one_line_about(path):
        Ledger(path)


@pytest.mark.parametrize("body", ["{", "[]", json.dumps({"key": "k"})])
def test_a_record_that_cannot_be_read_is_told_by_file(ledger, body):
    ledger.add_edits([EDIT])
    other = sqlite3.connect(ledger.path)
    with other:
        other.execute("UPDATE edits SET body = ?", (body,))
    other.close()
    with one_line_about(ledger.path):
        ledger.edits()


TABLES = ("contexts", "edits", "outcomes", "scored", "policies", "versions", "stages", "timings", "usages", "checks")
OTHER_VALUES = ("", "x", -1, 2**62, 0.5, b"\x00", "null", "[1]", "\x1b[31m")


def read_everything(path, version=1):
    """What each way to read it refuses, in words."""
    refused = []
    for read in (*TABLES, "fingerprint", "trained_on", "last_grading"):
        with Ledger(path) as ledger:
            try:
                getattr(ledger, read)(*([version] if read == "trained_on" else []))
            except SelfeditError as error:
                refused.append(str(error))
    return refused


@pytest.mark.parametrize("table", TABLES)
def test_a_column_that_holds_something_else_is_told_by_file_or_does_no_harm(tmp_path, table):
    whole, path, n_refused = tmp_path / "whole.db", tmp_path / "ledger.db", 0
    policy = Policy(1, "adapters/1", "abc", 0)
    with Ledger(whole) as ledger:
        fill(ledger)
        ledger.add_versions([Version("none", 0, 1, "c1", "e1", policy, policy, 1.0)])
        ledger.add_usage(ROUND, "judge", "m", Usage(sent=1))
        ledger.add_checks(ROUND, [LineCheck("e1", "c1", (CheckedLine("a line", -1.0, -2.0, "kept"),))])
        ledger.add_outcomes([OUTCOME], grading=1)
    with sqlite3.connect(whole) as reading:
        columns = [row[1] for row in reading.execute(f"PRAGMA table_info({table})")]
    reading.close()
    for column, value in itertools.product(columns, OTHER_VALUES):
        shutil.copyfile(whole, path)
        with contextlib.closing(sqlite3.connect(path)) as other, contextlib.suppress(sqlite3.IntegrityError), other:
            other.execute(f"UPDATE {table} SET {column} = ?", (value,))
        moved = value if (table, column) == ("policies", "version") and isinstance(value, int) else 1
        for refusal in read_everything(path, moved):
            n_refused += 1
            assert refusal.startswith(f"{path}: ") and refusal.isprintable()
    assert n_refused


def test_a_ledger_without_checked_lines_has_no_table_of_them_and_reads_as_ever(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        fill(ledger)
        assert ledger.checks() == [] and "checks" not in ledger.counts()
        before = ledger.fingerprint()
    with Ledger(path, is_read_only=True) as ledger:
        assert (ledger.checks(ROUND), ledger.fingerprint()) == ([], before)
    check = LineCheck("e1", "c1", failure="too long")
    with Ledger(path) as ledger:
        ledger.add_checks(ROUND, [check])
        assert ledger.checks() == ledger.checks(ROUND) == [(ROUND, check)] and ledger.checks(BASE) == []
        assert ledger.counts()["checks"] == 1 and ledger.fingerprint() != before


def test_a_missing_folder_is_refused_by_name(tmp_path):
    with one_line_about(tmp_path / "absent" / "ledger.db"):
        Ledger(tmp_path / "absent" / "ledger.db")


STAGES = [
    Stage.round(2),
    Stage.of("base"),
    Stage.of("base", 2),
    Stage.of("synthetic", 0, "rewrite"),
    Stage.of("edits", 0, "gpt-4.1"),
    Stage("loo", version=1),
    Stage("start"),
    Stage("edits"),
    Stage.sequence("replay:budget=16+kl", 0, 3),
]


def test_a_stage_comes_back_with_its_parts_which_are_columns(ledger):
    ledger.add_outcomes([replace(OUTCOME, stage=stage) for stage in STAGES])
    assert ledger.stages() == {stage.name: stage for stage in STAGES}
    assert {outcome.stage for outcome in ledger.outcomes()} == set(STAGES)
    row = sqlite3.connect(ledger.path).execute("SELECT * FROM stages WHERE method = 'edits'").fetchone()
    assert row == ("eval-edits:gpt-4.1-0", "eval", "edits", "gpt-4.1", 0, "", None, None)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_people_may_type_a_stages_name(stage):
    assert Stage.parse(stage.name) == stage


def test_a_name_that_no_stage_has_is_refused():
    with pytest.raises(ValueError, match="no stage is called so"):
        Stage.parse("lunch")


def test_a_ledger_of_an_older_schema_is_refused_in_one_line(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 1")
    other.close()
    with pytest.raises(SelfeditError, match="has schema 1, and this version reads schema 2; choose another run folder"):
        Ledger(path)


def test_what_came_later_is_stored_only_where_it_says_something(tmp_path: Path) -> None:
    plain = Context("a", "A", "Words.", ())
    placed = Context("b", "B", "Words.", (), "b.md:1-2")
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.put_contexts("train", [plain, placed])
        assert ledger.contexts("train") == [plain, placed]
        bodies = [json.loads(row["body"]) for row in ledger._rows("contexts")]
    assert ["source" in body for body in bodies] == [False, True]
