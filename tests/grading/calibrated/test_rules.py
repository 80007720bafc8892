"""Yes against no, lists that name more than was asked, and gold answers that ask for one of several things."""

import pytest

from selfedit.grading.calibrated.readings import readings
from selfedit.grading.calibrated.rules import by_yes_or_no, names_more
from selfedit.grading.calibrated.words import read_words


@pytest.mark.parametrize(
    ("question", "gold", "answer", "expected"),
    [
        ("Is it open in winter?", "yes", "Yes, it is.", True),
        ("Is it open in winter?", "yes", "No.", False),
        ("Is the harbour open in winter?", "no", "The harbour never opens in winter.", True),
        ("Is the harbour open in winter?", "yes", "The harbour is open in winter.", True),
        ("Is the harbour open in winter?", "no longer open", "No", True),
        ("Is the harbour open in winter?", "no longer open", "Yes", False),
        ("Is the harbour open in winter?", "no", "Herons nest there.", None),
        ("Did she cross it?", "twice, by boat", "Yes", None),
        ("Did Ada or Otto cross it?", "Otto", "No", None),
        ("Who crossed it?", "no one", "No", None),
    ],
)
def test_yes_and_no_are_compared_where_the_question_asks_for_them(question, gold, answer, expected):
    assert by_yes_or_no(question, gold, answer) is expected


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("herring and cod", "They catch herring, cod, and eel.", True),
        ("the Council and the Assembly", "The Assembly, the Council, and the Guild have a veto.", True),
        ("herring and cod", "They catch cod and herring.", False),
        ("herring and cod", "Herring and cod are caught there, and gulls pass.", False),
        ("herring and cod", "They catch herring and eel.", False),
        ("Lowland and Upland pottery", "She gave Lowland and Upland pottery to the Quill and Brandt Museum.", False),
        ("herring", "They catch herring, cod, and eel.", False),
        ("12 May 1751 and June", "12 May 1751, June, and July", False),
    ],
)
def test_a_longer_list_than_was_asked_for_is_told_from_one_in_another_order(gold, answer, expected):
    assert names_more(gold, answer) is expected


@pytest.mark.parametrize(
    ("gold", "others"),
    [
        ("meadow or heath", {"meadow", "heath"}),
        ("either salt, tin or wool", {"salt", "tin", "wool"}),
        ("Oskave (Lower Tamber)", {"Oskave", "Lower Tamber"}),
        ("Ada Quill (1911-1960)", {"Ada Quill"}),
        ("Fort Oskave (near the Tamber", {"Fort Oskave"}),
        ("three or more", set()),
        ("herring and cod", set()),
        ("be named by the pastor or the council, and pass the course", set()),
    ],
)
def test_a_gold_answer_can_ask_for_one_of_several_things(gold, others):
    assert set(readings(gold)) == {gold, *others}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("over 300 boats", 1),
        ("more than $300", 1),
        ("at least 300", 1),
        ("up to 300", -1),
        ("less than 300", -1),
        ("about 300", 0),
        ("moved over to 300", 0),
    ],
)
def test_a_number_knows_what_bound_it_is(text, bound):
    assert [word.bound for word in read_words(text) if word.value is not None] == [bound]
