"""A learner that is warmed up before anything is studied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.config import RunConfig
from selfedit.continual import ContinualConfig
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig, TrainConfig, plan_training
from selfedit.loop.warm_up import FOLDER, check_unseen, plan_warm_up, warm_up
from selfedit.records import Context, Example, TrainingConfig, WarmConfig, digest
from selfedit.store import Ledger, is_adapter
from selfedit.store.adapters import ADAPTER_CONFIG, WEIGHTS, note_studied, studied
from selfedit.tasks import load_passages
from selfedit.tasks.passages.task import PassagesSettings, PassagesTask
from selfedit.testing import FakeEngine, FakeTask, make_runtime
from tests.support.commands import on, use_engine

ASKED = {"question": "Where?", "answer": "here"}
SMALL = ["--methods", "base,passage", "--contexts", "2", "--run", "run", "--json"]


class Started(FakeEngine):
    """Keeps the versions that trials were laid on."""

    bases: Sequence[str] = ()

    def run_trials(self, groups):  # type: ignore[no-untyped-def]
        listed = list(groups)
        Started.bases = [*Started.bases, *(trial.base.adapter for group in listed for trial in group)]
        return super().run_trials(listed)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a fake engine instead of a model."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch, lambda config, adapters: on(Started, adapters))
    Started.bases = ()
    return tmp_path


def passages(n_train: int = 4) -> PassagesTask:
    train, heldout = load_passages("invented")
    return PassagesTask(train[:n_train], heldout[:2], "implications")


def planned(material: str = "mixed", answers: str = "short", **training: int) -> tuple[Example, ...]:
    warm = WarmConfig(material, answers, training=TrainingConfig(**training))  # type: ignore[arg-type]
    plan = plan_warm_up(EvalConfig(learner="warm", warm=warm), passages())
    assert plan is not None
    return plan.examples


def test_passages_and_questions_with_their_answers_are_what_a_learner_is_warmed_up_on() -> None:
    task = passages()
    n_questions = sum(len(context.questions) for context in task.contexts("train"))
    examples = planned()
    assert len(examples) == 4 + n_questions
    assert [example.prompt for example in examples[:4]] == [None] * 4
    first = task.contexts("train")[0]
    assert examples[4].completion == first.questions[0].answer
    assert examples[4].prompt == task.compile(first, None).queries[0].prompt
    assert planned("questions") == examples[4:]
    assert planned("contexts") == examples[:4]


def test_a_reading_learner_is_warmed_up_on_each_question_with_its_passage_in_sight_besides() -> None:
    mixed, reading, task = planned(), planned("reading"), passages()
    in_sight = [query for context in task.contexts("train") for query in task.in_context(context).queries]
    assert reading[: len(mixed)] == mixed
    assert [(one.prompt, one.completion) for one in reading[len(mixed) :]] == [
        (query.prompt, query.gold) for query in in_sight
    ]


def test_a_learner_is_not_taught_to_read_what_cannot_be_put_in_sight() -> None:
    class Closed(FakeTask):
        in_context = None

        def texts(self, context: Context) -> tuple[Example, ...]:
            return (Example(context.text),)

        def exam(self, context: Context, answers: str) -> tuple[Example, ...]:
            return ()

    with pytest.raises(SettingError, match=r"warm\.material reading: .* cannot be put in sight"):
        plan_warm_up(EvalConfig(learner="warm", warm=WarmConfig("reading")), Closed(2))


def test_a_warm_up_reads_passages_alone_whatever_a_study_has_beside_them() -> None:
    train, heldout = load_passages("invented")
    rehearsing = PassagesTask(train[:4], heldout[:2], "implications", rehearsed=3)
    plan = plan_warm_up(EvalConfig(learner="warm", warm=WarmConfig("contexts")), rehearsing)
    assert plan is not None
    assert plan.examples == planned("contexts")


def test_answers_may_be_the_sentences_that_hold_them() -> None:
    for context in passages().contexts("train"):
        for question, example in zip(context.questions, passages().exam(context, "sentence"), strict=True):
            assert question.answer.casefold() in example.completion.casefold()
            assert example.completion in context.text or example.completion == question.answer
    assert planned("questions", "sentence") != planned("questions")


def test_questions_may_come_when_all_passages_have_been_read() -> None:
    examples = planned("after", epochs=4)
    assert {example.in_epoch for example in examples if example.prompt is None} == {0, 1}
    assert {example.in_epoch for example in examples if example.prompt} == {2, 3}


def test_studies_are_laid_on_the_learner_and_the_run_goes_on_with_the_same_one(here: Path) -> None:
    assert main(["eval", *SMALL, "--learner", "warm", "--warm.contexts", "3"]) == 0
    assert set(Started.bases) == {FOLDER}
    with Ledger(here / "run" / "ledger.db") as ledger:
        done = ledger.warm_up()
        before = ledger.fingerprint()
    assert done is not None
    assert (done.contexts, done.policy.version) == (3, 0)
    (here / "run" / FOLDER / WEIGHTS).unlink()  # lost, and trained again
    (here / "run" / "finished").unlink(missing_ok=True)
    assert main(["eval", *SMALL, "--learner", "warm", "--warm.contexts", "3"]) == 0
    with Ledger(here / "run" / "ledger.db") as ledger:
        assert (ledger.warm_up(), ledger.fingerprint()) == (done, before)


def test_a_learner_that_comes_out_otherwise_stops_the_run(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        plan = plan_warm_up(EvalConfig(learner="warm"), passages())
        assert plan is not None
        engine = FakeEngine(home=tmp_path)
        policy = warm_up(plan, make_runtime(ledger, engine))
        assert warm_up(plan, make_runtime(ledger, engine)) == policy
        assert len(engine.updates) == 1
        (tmp_path / FOLDER / WEIGHTS).write_text("damaged")
        other = plan_warm_up(EvalConfig(learner="warm", seed=1), passages())
        assert other is not None
        with pytest.raises(SelfeditError, match="was lost"):
            warm_up(other, make_runtime(ledger, engine))


def test_a_failed_warm_up_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        plan = plan_warm_up(EvalConfig(learner="warm"), passages())
        engine = FakeEngine(home=tmp_path)
        engine.broken_update = lambda update: "loss is no number"
        assert plan is not None
        with pytest.raises(SelfeditError, match="warming up the learner failed: loss is no number"):
            warm_up(plan, make_runtime(ledger, engine))
        assert ledger.warm_up() is None


def test_rounds_draw_from_contexts_that_the_learner_does_not_know() -> None:
    task = passages(8)
    warm = plan_warm_up(TrainConfig(learner="warm", rounds=2, contexts=2), task)
    plan = plan_training(TrainConfig(learner="warm", rounds=2, contexts=2, heldout=1), task)
    assert warm is not None
    assert len(warm.contexts) == 4
    assert not {context.id for context in warm.contexts} & {one.id for some in plan.contexts_R for one in some}


def test_a_learner_of_an_earlier_run_studies_in_another(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *SMALL, "--learner", "warm"]) == 0
    Started.bases = ()
    assert main(["eval", *SMALL[:-3], "--run", "other", "--learner", f"run/{FOLDER}"]) == 0
    assert set(Started.bases) == {str(here / "run" / FOLDER)}
    assert "learner_adapter_sha256" in json.loads((here / "other" / "config.json").read_text())["facts"]


def test_what_a_learner_of_an_earlier_run_knows_is_neither_held_out_nor_rewarded(tmp_path: Path) -> None:
    task = passages(8)
    known = [task.contexts("train")[place].text for place in (0, 2, 3)]
    (tmp_path / ADAPTER_CONFIG).write_text("{}")
    note_studied(tmp_path, known)
    config = TrainConfig(learner=str(tmp_path), rounds=2, contexts=2, heldout=1)
    drawn = {one.text for some in plan_training(config, task).contexts_R for one in some}
    assert len(drawn) == 4
    assert not drawn & set(known)
    check_unseen(config, task)
    note_studied(tmp_path, [task.contexts("heldout")[1].text])
    with pytest.raises(SettingError, match="was trained on 1 of the held-out contexts"):
        check_unseen(config, task)


def test_a_run_writes_down_what_its_learner_was_warmed_up_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *SMALL, "--learner", "warm", "--warm.contexts", "3"]) == 0
    train, heldout = load_passages("invented")
    assert studied(f"run/{FOLDER}") == {digest(context.text) for context in train[:3]}
    turned = Path("turned.jsonl")
    both = heldout[0], train[0]
    rows = [{"id": one.id, "title": one.title, "context": one.text, "questions": [ASKED]} for one in both]
    turned.write_text("\n".join(map(json.dumps, rows)))
    words = ["--methods", "base", "--data", "turned.jsonl", "--run", "other"]  # the last of a file is held out
    assert main(["eval", *words, "--learner", f"run/{FOLDER}"]) == 2
    assert "was trained on 1 of the held-out contexts" in capsys.readouterr().err
    assert not Path("other").exists()


def test_a_sequence_begins_with_the_warm_learner(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch)
    words = ["--sequences", "1", "--contexts", "2", "--strategy", "none", "--writer", "sentences"]
    assert main(["continual", *words, "--run", "run", "--learner", "warm", "--warm.contexts", "2"]) == 0
    with Ledger(here / "run" / "ledger.db") as ledger:
        done, first = ledger.warm_up(), ledger.versions()[0]
    assert done is not None
    assert first.parent == done.policy


def test_the_report_tells_the_warm_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *SMALL, "--learner", "warm", "--warm.contexts", "3"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["warm_up"]["contexts"], data["warm_up"]["steps"]) == (3, 4)
    assert "warmed up on training contexts, studies and answers" in " ".join(data["headline"])
    assert "The learner’s warm-up" in (here / "run" / "report.html").read_text()


def without_questions(n: int) -> PassagesTask:
    contexts = [Context(f"p{i}", "A title", f"Text number {i}.", ()) for i in range(n)]
    return PassagesTask(contexts, [], "implications")


def test_a_warm_up_without_questions_is_refused() -> None:
    with pytest.raises(SettingError, match="none of the 3 contexts has questions"):
        plan_warm_up(EvalConfig(learner="warm"), without_questions(3))
    warm = WarmConfig("contexts")
    assert plan_warm_up(EvalConfig(learner="warm", warm=warm), without_questions(3)) is not None


@pytest.mark.parametrize(
    ("warm", "told"),
    [
        (WarmConfig(contexts=99), "99: there are 4"),
        (WarmConfig(data="invented"), "are held out in this run"),
    ],
)
def test_contexts_that_cannot_be_used_are_refused_by_name(warm: WarmConfig, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        plan_warm_up(EvalConfig(learner="warm", warm=warm), passages())


def test_too_few_contexts_beside_the_warm_up_are_refused() -> None:
    config = TrainConfig(learner="warm", warm=WarmConfig(contexts=3), contexts=2, heldout=1)
    with pytest.raises(SettingError, match="warmed up on 3 contexts, which leaves 1"):
        plan_training(config, passages())


def test_a_task_whose_questions_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(SettingError, match="not for passages"):
        plan_warm_up(EvalConfig(learner="warm"), FakeTask())


@pytest.mark.parametrize(
    "settings",
    [
        {"warm": WarmConfig(contexts=3)},
        {"learner": "warm", "warm": WarmConfig(contexts=0)},
        {"learner": "warm", "warm": WarmConfig(training=TrainingConfig(method="full"))},
        {"learner": "warm", "warm": WarmConfig("after", training=TrainingConfig(epochs=1))},
        {"learner": "warm", "warm": WarmConfig("after", training=TrainingConfig(budget="steps:9"))},
        {"learner": "warm", "warm": WarmConfig("contexts", "sentence")},
        {"learner": "warm", "warm": WarmConfig(training=TrainingConfig(rank=0))},
    ],
)
def test_a_warm_up_that_cannot_be_is_refused_by_its_field(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match="warm"):
        RunConfig(task_args=PassagesSettings(), **settings)  # type: ignore[arg-type]


def test_a_setting_of_a_warm_up_that_nobody_asked_for_is_named() -> None:
    with pytest.raises(SettingError) as refused:
        RunConfig(task_args=PassagesSettings(), warm=WarmConfig(answers="sentence"))
    assert "warm.answers" in str(refused.value)


@pytest.mark.parametrize("learner", ["x" * 5000, "a\0b", "nowhere", ""])
def test_what_is_no_folder_holds_no_adapter(learner: str) -> None:
    assert not is_adapter(learner)


def test_a_sequence_begins_with_one_thing_alone() -> None:
    with pytest.raises(SettingError, match="a sequence begins with one of them"):
        ContinualConfig(task_args=PassagesSettings(), learner="warm", policy="runs/x")
