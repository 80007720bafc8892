"""The bundled corpus is sound: answers are in the passages, and nowhere in what is asked."""

import re

import pytest

from selfedit.grading import contains
from selfedit.tasks import load_passages

TRAIN, HELDOUT = load_passages("invented")
CONTEXTS = (*TRAIN, *HELDOUT)
STOP_WORDS = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "per", "the", "to", "with"}


def words(text):
    return set(re.findall(r"\w+", text.lower())) - STOP_WORDS


def each_question():
    return [pytest.param(context, question, id=question.id) for context in CONTEXTS for question in context.questions]


def test_there_are_44_passages_to_train_on_and_40_held_out():
    assert (len(TRAIN), len(HELDOUT)) == (44, 40)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.id)
def test_a_passage_has_120_to_200_words_and_five_questions(context):
    assert 120 <= len(context.text.split()) <= 200
    assert len(context.questions) == 5


def test_ids_titles_texts_and_questions_are_unique():
    questions = [question for context in CONTEXTS for question in context.questions]
    for values in (
        [context.id for context in CONTEXTS],
        [context.title for context in CONTEXTS],
        [context.text for context in CONTEXTS],
        [question.id for question in questions],
        [question.question for question in questions],
    ):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.id)
def test_the_answers_of_one_passage_differ(context):
    assert len({question.answer.lower() for question in context.questions}) == len(context.questions)


@pytest.mark.parametrize(("context", "question"), each_question())
def test_the_gold_answer_occurs_in_its_passage(context, question):
    assert contains(question.answer, context.text)


@pytest.mark.parametrize(("context", "question"), each_question())
def test_no_question_gives_its_own_answer_away(context, question):
    assert words(question.answer)
    assert not words(question.answer) & words(f"{context.title} {question.question}")
