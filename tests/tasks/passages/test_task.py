"""Passages become studies and questions; what is wrong with a user's file is told in one line."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import InvalidEdit, SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.protocols import InContext, Task, TwoStep, Variable
from selfedit.records import Context, Prompt, Question
from selfedit.tasks import PassagesTask, load_passages
from selfedit.tasks.passages.task import PassagesSettings, passages_of

SHARED = Path(os.environ.get("SELFEDIT_SHARED", Path(__file__).parents[3] / ".." / "shared"))
CONTEXT = Context(
    "c1", "Oskaveld", "Nine {huts}.", (Question("c1#1", "How many?", "nine"), Question("c1#2", "Of?", "huts"))
)


def task(prompt="implications", ask_style="plain"):
    return PassagesTask([CONTEXT], [], prompt, ask_style)


def passage(n, **changes):
    pairs = [{"question": f"Question {n}?", "answer": f"answer {n}"}]
    return {"title": f"Title {n}", "context": f"Text {n}.", "questions": pairs} | changes


def write_lines(path, *records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return str(path)


def completions(study):
    return [example.completion for example in study.examples]


def refused(complaint):
    return pytest.raises(SelfeditError, match=rf"^[^\n]*{complaint}[^\n]*; [^\n]+$")


def test_a_study_is_each_piece_behind_the_title_and_the_passage_last():
    study = task().compile(CONTEXT, " One.\n2. Two.")
    assert completions(study) == ["Oskaveld\nOne.", "Oskaveld\nTwo.", "Oskaveld\nNine {huts}."]
    assert all(example.prompt is None for example in study.examples)


def test_a_study_without_self_edit_is_the_passage_alone():
    assert completions(task().compile(CONTEXT, None)) == ["Oskaveld\nNine {huts}."]


def test_a_study_of_questions_holds_one_pair_a_sequence():
    study = task("self-qa").compile(CONTEXT, " How many?\nAnswer: Nine.")
    assert completions(study)[0] == "Oskaveld\nQuestion: How many?\nAnswer: Nine."


def test_a_self_edit_that_cannot_be_read_is_invalid():
    with pytest.raises(InvalidEdit, match="empty"):
        task().compile(CONTEXT, "\n")


def test_questions_are_asked_under_their_topic_without_the_passage():
    asks = task().compile(CONTEXT, None).queries
    assert [(ask.question_id, ask.question, ask.gold) for ask in asks] == [
        ("c1#1", "How many?", "nine"),
        ("c1#2", "Of?", "huts"),
    ]
    assert asks[0].prompt.text.endswith("\nQuestion: Topic: Oskaveld\nHow many?\nAnswer:")
    assert "Nine" not in asks[0].prompt.text
    assert asks[0].prompt.prefill == ""


def test_in_context_questions_have_the_passage_before_them():
    plain, given = task().compile(CONTEXT, None).queries, task().in_context(CONTEXT).queries
    assert [ask.prompt.text for ask in given] == [f"Oskaveld\nNine {{huts}}.\n\n{ask.prompt.text}" for ask in plain]
    assert [replace(ask, prompt=plain[0].prompt) for ask in given] == [
        replace(a, prompt=plain[0].prompt) for a in plain
    ]


@pytest.mark.parametrize(("style", "is_plain"), [("plain", True), ("chat", False)])
def test_the_ask_style_decides_on_the_chat_template(style, is_plain):
    asks = (*task(ask_style=style).compile(CONTEXT, None).queries, *task(ask_style=style).in_context(CONTEXT).queries)
    assert {ask.prompt.raw for ask in asks} == {is_plain}


def test_answers_have_the_length_that_the_run_allows_also_in_other_variants():
    short = PassagesTask(task().contexts("train"), (), "implications", answer_tokens=16)
    context = short.contexts("train")[0]
    asked = [
        *short.compile(context, None).queries,
        *short.in_context(context).queries,
        *short.variant("rewrite", is_distilled=True).compile(context, None).queries,
    ]
    assert {query.max_new_tokens for query in asked} == {16}
    assert {query.max_new_tokens for query in task().compile(context, None).queries} == {64}
    for wrong in (0, -1, 2_000):
        with pytest.raises(SettingError, match="answer_tokens"):
            PassagesSettings(answer_tokens=wrong)


def test_a_study_may_rehearse_how_questions_of_other_passages_are_answered():
    train, heldout = load_passages("invented")
    rehearsing = PassagesTask(train[:3], heldout[:1], "implications", rehearsed=4)
    context = heldout[0]
    plain = PassagesTask(train[:3], heldout[:1], "implications").compile(context, "1. It is.").examples
    study = rehearsing.compile(context, "1. It is.").examples
    assert study[:2] == plain
    answers = {question.answer for other in train[:3] for question in other.questions}
    assert len(study) == 6 and {example.completion for example in study[2:]} <= answers
    assert study[2:] == rehearsing.compile(context, None).examples[1:]
    own = train[0]
    assert not {q.question for q in own.questions} & {
        example.prompt.text.splitlines()[-2] for example in rehearsing.compile(own, None).examples[1:]
    }
    assert len(PassagesTask(train[:1], (), "implications", rehearsed=4).compile(own, None).examples) == 1
    with pytest.raises(SettingError, match="rehearsed"):
        PassagesSettings(rehearsed=-1)


def test_every_study_of_a_task_may_be_distilled_whatever_is_asked_for() -> None:
    settings = PassagesSettings(data="invented", distilled=True)
    distilled = passages_of(settings, EvalConfig())
    context = distilled.contexts("heldout")[0]
    sight = Prompt(f"{context.title}\n{context.text}\n\n", raw=True)
    for asked in (distilled, distilled.variant("rewrite"), distilled.variant()):
        assert [example.teacher for example in asked.compile(context, None).examples] == [sight]
        assert all(example.teacher is None for example in asked.exam(context, "short"))
    plain = passages_of(PassagesSettings(data="invented"), EvalConfig())
    assert "distilled" not in PassagesSettings().model_dump(), "older runs keep their names"
    assert PassagesSettings(**settings.model_dump()) == settings
    assert [example.teacher for example in plain.compile(context, None).examples] == [None]


def test_a_distilled_study_leaves_no_token_out() -> None:
    inner = replace(EvalConfig().inner, skip_above=0.5)
    with pytest.raises(SettingError, match=r"inner\.skip_above 0\.5: a distilled study"):
        passages_of(PassagesSettings(data="invented", distilled=True), EvalConfig(inner=inner))


def test_the_policy_is_asked_with_the_chosen_prompt():
    assert "Passage:\nNine {huts}." in task("rewrite").prompt(CONTEXT).text
    assert task("rewrite").prompt(CONTEXT).prefill == "Version 1:"


def test_a_self_edit_in_two_steps_is_asked_on_about_its_passage():
    asked = task("entigraph").follow_ups(CONTEXT, "huts\nOskaveld", 0)
    assert [prompt.prefill for prompt in asked] == ["How huts and Oskaveld relate:"]
    assert "Title: Oskaveld\nPassage:\nNine {huts}.\n" in asked[0].text
    assert task("rewrite").follow_ups(CONTEXT, "huts\nOskaveld", 0) == ()
    with pytest.raises(InvalidEdit, match="names too few entities: 1"):
        task("entigraph").follow_ups(CONTEXT, "huts", 0)


def test_a_variant_asks_otherwise_and_is_the_same_task_for_the_rest():
    other = task(ask_style="chat").variant("rewrite")
    assert other.prompt(CONTEXT) == task("rewrite").prompt(CONTEXT)
    assert other.contexts("train") == (CONTEXT,)
    assert other.compile(CONTEXT, None) == task(ask_style="chat").compile(CONTEXT, None)
    assert task("rewrite").variant().prompt(CONTEXT) == other.prompt(CONTEXT)
    with pytest.raises(SelfeditError, match="known: implications"):
        task().variant("poem")


@pytest.mark.parametrize("edit", [" One.\n2. Two.", None])
def test_a_distilled_study_has_a_teacher_that_sees_the_passage(edit):
    distilled, plain = task().variant(is_distilled=True).compile(CONTEXT, edit), task().compile(CONTEXT, edit)
    in_sight = Prompt("Oskaveld\nNine {huts}.\n\n", raw=True)
    assert [example.teacher for example in distilled.examples] == [in_sight] * len(plain.examples)
    assert [replace(example, teacher=None) for example in distilled.examples] == list(plain.examples)
    assert distilled.queries == plain.queries
    assert task().variant(is_distilled=True).variant().compile(CONTEXT, edit) == distilled


def test_passages_are_a_knowledge_task():
    known: Task = task()
    assert isinstance(known, InContext) and isinstance(known, TwoStep) and isinstance(known, Variable)
    assert known.variant("none").prompt(CONTEXT).raw


def test_an_unknown_prompt_is_refused_at_construction():
    with pytest.raises(SelfeditError, match="known: implications"):
        task("poem")


@pytest.mark.parametrize("questions", [(), (Question("c1#1", "How?", ""),)])
def test_a_passage_whose_gold_answers_cannot_earn_everything_is_named(questions):
    with pytest.raises(SelfeditError, match="'c1'"):
        PassagesTask([replace(CONTEXT, questions=questions)], [], "implications").validate()


def test_a_passage_whose_gold_answers_earn_everything_is_valid():
    task().validate()


def test_the_invented_corpus_is_valid_and_split():
    train, heldout = load_passages("invented")
    PassagesTask(train, heldout, "implications").validate()
    assert (len(train), len(heldout)) == (64, 64)


@pytest.mark.parametrize(("n", "n_heldout"), [(1, 0), (2, 1), (3, 1), (5, 2), (10, 4)])
def test_the_end_of_a_single_file_is_held_out_in_file_order(tmp_path, n, n_heldout):
    train, heldout = load_passages(write_lines(tmp_path / "p.jsonl", *(passage(i) for i in range(n))))
    assert len(heldout) == n_heldout
    assert [context.title for context in (*train, *heldout)] == [f"Title {i}" for i in range(n)]


def test_a_second_file_is_held_out_whole(tmp_path):
    first = write_lines(tmp_path / "a.jsonl", passage(1), passage(2))
    train, heldout = load_passages(first, write_lines(tmp_path / "b.jsonl", passage(3)))
    assert (len(train), len(heldout)) == (2, 1)


def test_questions_are_numbered_within_their_passage(tmp_path):
    pairs = [{"question": "A?", "answer": "a1"}, {"question": "B?", "answer": "b1"}]
    (context,), _ = load_passages(write_lines(tmp_path / "p.jsonl", passage(1, id="x", questions=pairs, extra=[1])))
    assert context == Context("x", "Title 1", "Text 1.", (Question("x#1", "A?", "a1"), Question("x#2", "B?", "b1")))


def test_a_missing_id_comes_from_the_content(tmp_path):
    ids = [load_passages(write_lines(tmp_path / f"{i}.jsonl", passage(n)))[0][0].id for i, n in enumerate((1, 1, 2))]
    assert ids[0] == ids[1] != ids[2]


def test_a_passage_in_both_splits_is_refused_with_both_places(tmp_path):
    first = write_lines(tmp_path / "a.jsonl", passage(1))
    second = write_lines(tmp_path / "b.jsonl", passage(2), passage(3, context="text  1."))
    with refused("b.jsonl:2: same passage as .*a.jsonl:1"):
        load_passages(first, second)
    with refused("p.jsonl:2: same passage as .*p.jsonl:1"):
        load_passages(write_lines(tmp_path / "p.jsonl", passage(1), passage(2, context="Text 1.")))


def test_an_id_in_both_splits_is_refused(tmp_path):
    first = write_lines(tmp_path / "a.jsonl", passage(1, id="x"))
    with refused("b.jsonl:1: same id 'x'"):
        load_passages(first, write_lines(tmp_path / "b.jsonl", passage(2, id="x")))


@pytest.mark.skipif(not (SHARED / "data" / "squad").is_dir(), reason="no SQuAD passages at hand")
def test_the_passages_of_the_paper_are_read_and_valid():
    train, heldout = load_passages(str(SHARED / "data/squad/train.jsonl"), str(SHARED / "data/squad/val200.jsonl"))
    PassagesTask(train, heldout, "implications").validate()
    assert (len(train), len(heldout), sum(len(context.questions) for context in heldout)) == (150, 200, 974)


def test_a_folder_of_documents_named_as_passages_leads_to_their_task(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="a folder; name a file of passages in it, or learn documents without"):
        load_passages(str(tmp_path))
