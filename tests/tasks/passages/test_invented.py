"""The bundled corpus is sound: answers are in the passages, and nowhere in what is asked."""

import re
from collections import Counter
from statistics import mean

import pytest

from selfedit.grading import contains
from selfedit.tasks import load_passages

TRAIN, HELDOUT = load_passages("invented")
CONTEXTS = (*TRAIN, *HELDOUT)
STOP_WORDS = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "per", "the", "to", "with"}
NUMBER_WORDS = set(
    "two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty fifty sixty"
    " seventy eighty ninety hundred second third fourth fifth sixth seventh".split()
)
ORDINARY = {  # words with a capital that are no names
    *"January February March April May June July August September October November December".split(),
    *"Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Saturdays Sundays".split(),
    *"Mr Mrs Miss Dr Messrs Professor Captain Alderman Warden Saint Sankt Mount Cape Fort Institute College".split(),
    *"Protocol Sons".split(),
}


def words(text):
    return set(re.findall(r"\w+", text.lower())) - STOP_WORDS


def sentences(context):
    return [one for one in re.split(r"(?<=[.!?])\s+", context.text) if len(one.split()) > 2]


def repeated(values):
    return sorted(value for value, count in Counter(values).items() if count > 1)


def is_number(answer):
    return re.search(r"\d", answer) is not None or bool(words(answer) & NUMBER_WORDS)


def is_name(answer):
    return answer[0].isupper()


def each_question():
    return [pytest.param(context, question, id=question.id) for context in CONTEXTS for question in context.questions]


def test_there_are_64_passages_to_train_on_and_64_held_out():
    assert (len(TRAIN), len(HELDOUT)) == (64, 64)


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
        [" ".join(re.findall(r"\w+", question.question.lower())) for question in questions],
        [sentence for context in CONTEXTS for sentence in set(sentences(context))],
    ):
        assert repeated(values) == []


def test_no_two_passages_share_a_name():
    lower = set(re.findall(r"\b[a-z]+\b", " ".join(context.text for context in CONTEXTS)))
    found = [
        name
        for context in CONTEXTS
        for name in set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", context.text))
        if name not in ORDINARY and name.lower() not in lower
    ]
    assert len(found) > 4 * len(CONTEXTS)
    assert repeated(found) == []


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.id)
def test_answers_are_one_to_four_words_and_at_most_two_of_a_passage_are_numbers(context):
    answers = [question.answer for question in context.questions]
    assert all(1 <= len(answer.split()) <= 4 for answer in answers)
    assert sum(is_number(answer) for answer in answers) <= 2


@pytest.mark.parametrize("kind", [is_number, is_name], ids=["numbers", "names"])
def test_both_halves_ask_for_numbers_and_for_names_equally_often(kind):
    train, heldout = (mean(kind(q.answer) for context in half for q in context.questions) for half in (TRAIN, HELDOUT))
    assert train == pytest.approx(heldout, abs=0.05)


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
