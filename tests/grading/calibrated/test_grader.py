"""The calibrated grader forgives what GPT-4.1 forgives, and its shipped weights are those that the fit script makes."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from selfedit.grading import grade_file, load_grader
from selfedit.grading.calibrated import grader
from selfedit.grading.calibrated.answer_text import style_of
from selfedit.grading.calibrated.features import NAMES
from selfedit.grading.calibrated.grader import WEIGHTS, load_weights, probability
from selfedit.tasks import load_passages

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("SELFEDIT_SHARED", ROOT / ".." / "shared"))
VERDICTS = SHARED / "data" / "seal-released" / "verdicts"
FILES = [VERDICTS / "base.jsonl", VERDICTS / "naive.jsonl"]
needs_verdicts = pytest.mark.skipif(not all(map(Path.exists, FILES)), reason="the published verdicts are not here")


def verdict(question, gold, answer):
    [only] = load_grader("calibrated").grade([(question, gold, answer)])
    return only


@pytest.mark.parametrize(
    ("question", "gold", "answer"),
    [
        ("In what century was the mill built?", "nineteenth", "19th century"),
        ("How many boats were lost?", "twenty-five", "They lost 25 boats."),
        ("How many people live there?", "2.5 million", "About 2,500,000 people live there."),
        ("When was Ada Quill born?", "10 November 1483", "Ada Quill was born on November 10, 1483."),
        ("When did the harbour close?", "the 1970s", "The harbour closed in 1974."),
        ("How long is the canal?", "48 km", "The canal is 48 kilometres long."),
        ("How much did the bridge cost?", "$170 billion", "$170.4 billion"),
        ("What do the fishers mend?", "torn nets", "They mend a torn net."),
        ("Where does the word come from?", "Palestine", "It is a Palestinian word."),
        ("What is he by faith?", "Catholic", "Catholicism"),
        ("What post did she take?", "president and CEO", "President and Chief Executive Officer"),
        ("Where was the engine built?", "United Kingdom", "The engine was built in Britain."),
        ("Who paid for the tower?", "Otto and Ines Brandt", "Ines and Otto Brandt paid for the tower."),
        ("What did the town run?", "street car lines", "The town ran streetcar lines."),
        ("How is the lake spelt?", "Chéngjísī", "Chengjisi"),
        ("What did the spring do to yields?", "reduce yields", "The spring decreased them: it reduced the yields."),
        ("What may the marsh become?", "meadow or heath", "The marsh may become a heath."),
        ("What is the reed called?", "tallowgrass (brinestalk)", "It is called brinestalk."),
        ("How many boats were lost?", "over 300", "They lost 320 boats."),
        ("How many boats are left?", "fewer than 40", "There are 38 boats left."),
        ("How old is the cliff?", "66 million years", "The cliff is 66 Ma old."),
        ("When was the wall built?", "300 BCE", "The wall was built in 300 B.C."),
        ("Where did she preach?", "St. Orran", "She preached in Saint Orran."),
        ("In which century was the mill built?", "12th century", "It was built in 1187."),
        ("Is the harbour open in winter?", "no", "The harbour does not open in winter."),
        ("Is the harbour open in winter?", "yes", "The harbour is open in winter."),
    ],
)
def test_the_same_said_differently_is_right(question, gold, answer):
    assert verdict(question, gold, answer) == "correct"


@pytest.mark.parametrize(
    ("question", "gold", "answer"),
    [
        ("How many boats were lost?", "twenty-five", "They lost 24 boats."),
        ("How many people are members?", "2.4%", "2.5% of the people are members."),
        ("When did she reach the fort?", "December 12", "She reached the fort on September 12."),
        ("When did she reach the fort?", "12 May 1751", "She reached the fort in 1753."),
        ("Who drew the map?", "William Stranahan", "The map was drawn by William H. Harrison."),
        ("Which river did they cross?", "Yellow River", "They crossed the Danube."),
        ("How much was paid?", "$2 million", "$1.5 billion"),
        ("Which two fish are caught?", "herring and cod", "They catch salmon and trout."),
        ("Is the harbour open in winter?", "no", "Yes, it is open all year."),
        ("Is the harbour open in winter?", "yes", "The harbour is not open in winter."),
        ("Is the harbour open in winter?", "no longer open", "Yes."),
        ("How many boats were lost?", "over 300", "They lost 3,000 boats."),
        ("How many boats were lost?", "over 300", "They lost 290 boats."),
        ("How much does it weigh?", "2,437 tonnes", "It weighs 2,455 tonnes."),
        ("When was the wall built?", "300 BCE", "The wall was built in 300 AD."),
        ("In which century was the mill built?", "12th century", "It was built in 1287."),
        ("Which two fish are caught?", "herring and cod", "They catch herring, cod, and eel."),
        ("Who rows?", "Ada Quill", "heron heron heron heron heron heron heron heron Quill"),
    ],
)
def test_another_number_name_or_word_in_its_place_is_wrong(question, gold, answer):
    assert verdict(question, gold, answer) == "incorrect"


def test_what_the_question_already_says_need_not_be_repeated():
    question, gold = "Which bridge crosses the Oskave river?", "the Tamber bridge"
    assert verdict(question, gold, "Tamber") == "correct"
    assert verdict(question, gold, "A bridge crosses the Oskave river.") == "incorrect"


@pytest.mark.parametrize(
    "debris",
    [
        "\nYou are an AI assistant that helps people find information.",
        "\n\nQuestion: Who rows?\nAnswer: Not the heron, but Ada Quill of 1911.",
        "\n\nQ: Passage: The 2018 Winter Olympics were held in Korea",
        "<|im_end|>\n<|im_start|>user\nWho rows?",
    ],
)
def test_what_follows_the_answer_changes_nothing(debris):
    question, gold, answer = "Which bird nests there?", "heron", "A grey heron nests there."
    assert probability(question, gold, answer + debris) == probability(question, gold, answer)
    assert verdict(question, gold, "A grey stork nests there." + debris) == "incorrect"


def test_an_answer_given_only_after_it_ran_on_is_not_read():
    assert (
        verdict("Which bird nests there?", "heron", "A stork.\n\nQuestion: Which bird rows?\nAnswer: heron")
        == "incorrect"
    )


def test_denying_and_not_knowing_lower_the_chances():
    question, gold, plain = "Which bird nests there?", "heron", "The heron nests there."
    assert probability(question, gold, "The heron does not nest there.") < probability(question, gold, plain)
    unsure = "I do not know whether the heron nests there."
    assert probability(question, gold, unsure) < probability(question, gold, plain)


def test_an_empty_answer_is_wrong_and_a_gold_answer_without_words_leaves_others_ungraded():
    assert verdict("Which bird?", "heron", " \n") == "incorrect"
    assert [verdict("Which article?", "The", answer) for answer in ("The", "An", "")] == [
        "correct",
        "ungraded",
        "incorrect",
    ]
    assert verdict("Which article?", "The", "The ") == "correct"
    assert [verdict("Which sign?", "→", answer) for answer in ("→", "an arrow")] == ["correct", "ungraded"]


@pytest.mark.parametrize("gold", ["both", "more", "π", "成吉思汗", "9" * 400])
def test_gold_answers_of_function_words_other_scripts_and_long_digits_are_graded(gold):
    assert verdict("Which?", gold, gold) == "correct"
    assert verdict("Which?", gold, "herons") == "incorrect"


def test_an_answer_in_a_sentence_has_a_threshold_of_its_own_whoever_gave_it(monkeypatch):
    question, gold = "Which bird nests there?", "heron"
    answers = ["A heron.", "The bird that nests there is a heron."]
    assert [style_of(answer) for answer in answers] == ["short", "long"]
    monkeypatch.setattr(grader, "load_thresholds", lambda: {"short": 0.0, "long": 1.0})
    assert [verdict(question, gold, answer) for answer in answers] == ["correct", "incorrect"]


def test_the_shipped_weights_name_every_feature_and_no_other():
    shipped = json.loads(WEIGHTS.read_text())
    assert list(shipped["weights"]) == list(NAMES)
    assert load_weights() == (shipped["intercept"], tuple(shipped["weights"].values()))


def test_an_answer_takes_less_than_a_millisecond(capsys):
    contexts = [context for split in load_passages("invented") for context in split]
    triples = [
        (question.question, question.answer, " ".join(context.text.split()[: 5 + 10 * at]))
        for context in contexts
        for at, question in enumerate(context.questions)
    ]
    calibrated = load_grader("calibrated")
    started = time.process_time()
    calibrated.grade(triples)
    seconds = (time.process_time() - started) / len(triples)
    with capsys.disabled():
        print(f" [{1e6 * seconds:.0f} µs an answer]", end="")
    assert seconds < 5e-3  # five times the promise, so that a busy machine does not fail it


def test_a_very_long_answer_takes_no_longer_than_its_beginning():
    started = time.process_time()
    assert verdict("Which bird?", "heron", "A stork, then a gull; " * 50_000) == "incorrect"
    assert time.process_time() - started < 1


@pytest.fixture
def fit_script(monkeypatch, capsys):
    """Runs the script on files, returns its figures by what was graded and by which model."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    main = importlib.import_module("fit_grader").main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fit_grader.py", *map(str, arguments), "--json"])
        main()
        return {(lot, model): figures for lot, model, figures in json.loads(capsys.readouterr().out)}

    return run


def test_the_fit_script_makes_the_same_bytes_twice_and_fits_no_held_out_passage(tmp_path, fit_script):
    records = [
        {"context_id": f"c{n}", "model": model, "question": "Which bird?", "gold": "grey heron", "answer": answer}
        | {"correct": answer.endswith("heron")}
        for n in range(12)
        for model, answer in [("a", "a grey heron"), ("b", "a stork"), ("b", "heron"), ("a", "")]
    ]
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    figures = fit_script(path, "--out", tmp_path / "1.json")
    fit_script(path, "--out", tmp_path / "2.json")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    shipped = json.loads((tmp_path / "1.json").read_text())
    assert shipped["n_fitted"] + shipped["held_out"]["n"] == len(records) and 0 < shipped["n_fitted"] < len(records)
    assert figures["held out", "all"]["agreement"][0] == 1.0


def test_the_fit_script_tells_what_is_missed_by_style_and_writer_and_what_a_gain_is_off_by(tmp_path, fit_script):
    right = {"a": "heron", "b": "The large bird that nests there is a grey heron."}
    records = [
        {"context_id": f"c{n}", "model": model, "question": f"Which bird {at}?", "gold": "grey heron"}
        | {"answer": right[model] if at else "a stork", "correct": bool(at) or (model == "b" and n % 2 == 0)}
        for n in range(20)
        for model in "ab"
        for at in range(3)
    ]
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    figures = fit_script(path, "--out", tmp_path / "1.json")
    by_a, by_b = figures["ten folds, short", "a"], figures["ten folds, long", "b"]
    assert (by_a["recall"][0], by_a["specificity"][0], by_a["bias"][0]) == (1, 1, 0)
    assert by_b["n"] == 40 and figures["ten folds", "b"]["bias"][0] == pytest.approx(-1 / 6, abs=1e-4)
    assert figures["ten folds, gain", "a over b"]["bias"][0] == pytest.approx(1 / 6, abs=1e-4)
    assert json.loads((tmp_path / "1.json").read_text())["thresholds"].keys() == {"short", "long"}


@needs_verdicts
def test_the_shipped_weights_and_figures_are_what_the_fit_script_makes(tmp_path, fit_script):
    figures = fit_script(*FILES, "--out", tmp_path / "calibrated.json")
    assert (tmp_path / "calibrated.json").read_bytes() == WEIGHTS.read_bytes()
    assert (
        figures["held out", "all"]["agreement"][0] > figures["held out, rule `contains`", "all"]["agreement"][0] + 0.02
    )


@needs_verdicts
def test_over_all_passages_it_calls_as_many_answers_right_as_the_judge_in_each_style_and_by_each_writer(
    tmp_path, fit_script
):
    figures = fit_script(*FILES, "--out", tmp_path / "calibrated.json")
    lots = [f"ten folds{style}" for style in ("", ", short", ", long")]
    for lot in [(lot, model) for lot in lots for model in ("baseline", "adapter")]:
        bias, low, high = figures[lot]["bias"]
        assert low < 0 < high and abs(bias) < 0.015, lot


@needs_verdicts
def test_it_agrees_with_the_judge_on_passages_it_was_not_fitted_on_as_far_as_its_file_says(tmp_path):
    lines = [line for path in FILES for line in path.read_text().splitlines()]
    held_out = [line for line in lines if sha256(json.loads(line)["context_id"].encode()).digest()[0] % 2]
    (tmp_path / "held-out.jsonl").write_text("\n".join(held_out))
    summary = grade_file(tmp_path / "held-out.jsonl", load_grader("calibrated"))
    said = json.loads(WEIGHTS.read_text())["held_out"]
    assert (summary.n_compared, summary.ungraded) == (said["n"], 0)
    assert [summary.agreement, summary.precision, summary.recall] == [
        pytest.approx(said[name][0], abs=1e-4) for name in ("agreement", "precision", "recall")
    ]
    assert summary.agreement > 0.88


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("1871年", "灯桥建成于1871年。", "correct"),
        ("九座", "十九座", "incorrect"),
        ("วันอังคาร", "ตลาดเปิดทุกวันอังคาร", "correct"),
        ("서울", "서울에서 열렸다", "correct"),
        ("서울", "부산", "incorrect"),
        ("नई दिल्ली", "राजधानी नई दिल्ली है", "correct"),
        ("नई दिल्ली", "राजधानी मुंबई है", "incorrect"),
        ("القاهرة", "العاصمة القَاهِرَة", "correct"),
        ("Москва", "Москва", "correct"),
        ("١٩٤٥", "1945", "correct"),
    ],
)
def test_other_scripts_are_graded_word_by_word_or_as_by_contains(gold, answer, expected):
    assert verdict("?", gold, answer) == expected


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("C++", "It was C", "incorrect"),
        ("C++", "It was C++", "correct"),
        ("C", "C++", "incorrect"),
        ("-5", "5", "incorrect"),
        ("-5", "It was -5 degrees.", "correct"),
        ("vitamin A", "vitamin C", "incorrect"),
        ("A", "Grade A", "correct"),
        ("A", "Grade B", "incorrect"),
        ("+", "It is +", "correct"),
        ("+", "-", "ungraded"),
        ("C++", "the language C++11", "incorrect"),
        ("3.14", "314", "incorrect"),
    ],
)
def test_answers_that_differ_in_a_symbol_alone_are_wrong(gold, answer, expected):
    assert verdict("Which?", gold, answer) == expected


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("$5", "€5"),
        ("5 %", "5"),
        ("5%", "5‰"),
        (">5", "<5"),
        ("≥ 18", "≤ 18"),
        ("¬a", "a"),
        ("minus five", "five"),
        ("5", "-5"),
        ("5", ".5"),
        ("π", "−π"),
        ("10!", "10"),
        ("x/y", "x*y"),
        ("1e-5", "1e5"),
        ("5′", "5″"),
    ],
)
def test_another_symbol_alone_makes_an_answer_wrong(gold: str, answer: str) -> None:
    assert load_grader("calibrated").grade([("How much is it?", gold, answer), ("How much is it?", gold, gold)]) == [
        "incorrect",
        "correct",
    ]


@pytest.mark.parametrize("answer", ["- 5", "... 5", "Answer: 5", "– five"])
def test_what_merely_announces_an_answer_is_no_sign(answer: str) -> None:
    assert load_grader("calibrated").grade([("How many?", "5", answer)]) == ["correct"]
