"""The measures of agreement are SQuAD's, but for the departures that the module names."""

import pytest

from selfedit.grading.metrics import contains, differs_in_symbols, exact, f1, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Heron,\n standing!", "heron standing"),
        ("A man, a plan", "man plan"),
        ("“golden anniversary”", "golden anniversary"),
        ("24–10", "24-10"),
        ("theatre", "theatre"),
        ("well-known and/or U.S. don't", "wellknown andor us dont"),
        ("the?!", ""),
        ("", ""),
    ],
)
def test_normalisation_takes_off_case_punctuation_articles_and_spaces(text, expected):
    assert normalise(text) == expected


def test_exact_ignores_what_normalisation_takes_off():
    assert exact("Ilsabet Corrane", "the ilsabet corrane.")
    assert not exact("Ilsabet Corrane", "Mayor Ilsabet Corrane")
    assert not exact("Mayor Ilsabet Corrane", "Ilsabet Corrane")


def test_contains_finds_the_gold_words_in_a_longer_answer():
    assert contains("walnut oil", "Two drops of Walnut Oil, in the port.")
    assert not contains("walnut oil", "oil of walnut")


def test_contains_does_not_find_a_number_in_another():
    assert not contains("14", "in 1914")


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    assert f1("nine stone huts", "nine huts burnt down") == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert f1("heron", "The heron") == 1.0
    assert f1("heron", "mule") == 0.0
    assert f1("heron", "") == 0.0


def test_f1_counts_a_repeated_word_as_often_as_both_have_it():
    assert f1("ring ring", "ring ring ring") == pytest.approx(0.8)


@pytest.mark.parametrize("measure", [exact, contains, f1])
def test_a_gold_answer_without_words_agrees_only_with_the_same_text(measure):
    assert measure("The", "The ")
    assert not measure("The", "")
    assert not measure("The", "a")


@pytest.mark.parametrize("measure", [exact, contains, f1])
def test_an_empty_answer_never_agrees_with_words(measure):
    assert not measure("heron", "")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("1871年", "灯桥建成于1871年。"),
        ("米拉·托尔姆", "是米拉·托尔姆建成的"),
        ("米拉·托尔姆", "是米拉托尔姆建成的"),
        ("九座", "奥维尔有九座磨坊"),
        ("北京", "北京，Paris，London"),
        ("Paris", "北京，Paris，London"),
        ("AI", "これはAIです"),
        ("東京", "東京都です。"),
        ("トルム", "ミラ・トルムが建てた"),
        ("ミラ＝トルム", "ミラ・トルム"),
        ("ｱｲｽ", "アイスです"),
        ("วันอังคาร", "ตลาดเปิดทุกวันอังคาร"),
        ("ไทย", "ประเทศไทย"),
        ("ភ្នំពេញ", "ទីក្រុងភ្នំពេញជារដ្ឋធានី"),
        ("ວຽງຈັນ", "ນະຄອນຫຼວງວຽງຈັນ"),
        ("ရန်ကုန်", "ရန်ကုန်မြို့"),
        ("서울", "서울에서 열렸다"),
        ("서울", "대한민국의 서울입니다."),
        ("대한민국 서울", "대한민국의 서울은"),
        ("1871년", "1871년에 지어졌다"),
        ("दिल्ली", "राजधानी दिल्ली है।"),
        ("القاهرة", "في القَاهِرَة،"),
        ("محمد", "مُحَمَّد"),
        ("שלום", "שָׁלוֹם"),
        ("አዲስ", "ከተማው፡አዲስ፡ነው።"),
    ],
)
def test_contains_finds_the_gold_answer_in_other_scripts(gold, answer):
    assert contains(gold, answer)
    assert contains(gold, gold)
    assert exact(gold, gold)
    assert f1(gold, gold) == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("九座", "十九座磨坊"),
        ("5", "5万人"),
        ("14", "于1914年"),
        ("アイス", "アイスランド"),
        ("물", "물가"),
        ("서울", "서울대"),
        ("5", "5천 명"),
        ("कम", "कमल"),
        ("दिल", "दिल्ली"),
    ],
)
def test_contains_does_not_find_a_word_or_number_within_another_in_other_scripts(gold, answer):
    assert not contains(gold, answer)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", "cafe\u0301"),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
        ("Ｐａｒｉｓ　１８７１", "Paris 1871"),
        ("ﬁsh", "fish"),
        ("San\u200bFrancisco", "SanFrancisco"),
        ("co\u00adoperate", "cooperate"),
        ("\ufeffParis\u200e", "Paris"),
        ("İstanbul", "istanbul"),
        ("DIYARBAKIR", "Diyarbakır"),
        ("STRAẞE", "straße"),
        ("Straße", "STRASSE"),
        ("ΛΌΓΟΣ", "λόγος"),
        ("New\u00a0York", "New York"),
        ("O’Neill", "O'Neill"),
        ("O\u2010Neill", "O-Neill"),
        ("1914—1918", "1914-1918"),
        ("\u22125", "-5"),
        ("١٩٤٥", "1945"),
        ("१९४५", "1945"),
        ("1,000", "1000"),
        ("12,345,678", "12345678"),
        ("1\u202f000", "1000"),
        ("1.000.000", "1000000"),
        ("km²", "km2"),
        ("H₂O", "H2O"),
        ("5%", "5 percent"),
        ("5％", "5 per cent"),
        ("minus 5", "-5"),
        ("20 °C", "20°C"),
        ("5€", "€5"),
        ("-$5", "$-5"),
        ("2½", "2 1/2"),
        ("**C#**", "C#"),
        ("Selfedit™", "Selfedit"),
        ("1e5", "1e+5"),
        ("minus five", "-five"),
        ("negative x", "−x"),
        ("Fe³⁺", "Fe3+"),
        ("5′", "5'"),
        ("10⁻⁵", "10^-5"),
    ],
)
def test_spellings_that_a_reader_does_not_tell_apart_are_equal(one, other):
    assert exact(one, other)
    assert exact(other, one)
    assert contains(one, f"it is {other}.")
    assert f1(one, other) == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("C++", "It was C"),
        ("C", "C++"),
        ("C#", "C"),
        ("C", "It was C#"),
        (".NET", "net"),
        ("-5", "5"),
        ("5", "−5"),
        ("5", "minus 5"),
        ("$5", "-$5"),
        ("A+", "A"),
        ("A", "A+"),
        ("A", "A-"),
        ("O+", "O−"),
        ("A*", "A"),
        ("vitamin A", "vitamin C"),
        ("A", "It was a bird"),
        ("A", "vitamin C"),
        ("A minor", "B minor"),
        ("+", "-"),
        ("%", "+"),
        ("5%", "5"),
        ("$5", "5"),
        ("$5", "€5"),
        ("3.14", "314"),
        ("1/12", "112"),
        ("10:30", "1030"),
        ("1,5", "15"),
        ("1.000", "1000"),
        ("10²", "102"),
        ("2", "2½"),
        ("14", "1914-1918"),
        (".5", "5"),
        ("x^2", "x2"),
        ("B♭", "B"),
        ("1e-5", "1e5"),
        ("2.5e-3 M", "2.5e3 M"),
        ("-π", "π"),
        ("x", "−x"),
        ("∞", "-∞"),
        ("five", "minus five"),
        ("−三", "三"),
        ("¬a", "a"),
        ("p", "¬ p"),
        ("x/y", "x*y"),
        ("x-y", "xy"),
        ("m/s", "ms"),
        ("2/x", "2*x"),
        ("Cl-", "Cl"),
        ("O2", "O2-"),
        ("Fe3+", "Fe3"),
        ("e⁻", "e"),
        ("SO4²⁻", "SO4²⁺"),
        ("C--", "C"),
        ("Do♯", "Do"),
        ("10!", "10"),
        ("n!", "n"),
        ("5′", "5"),
        ("5′", "5″"),
        ("f'", "f"),
        ("5‰", "5%"),
        ("<", "<="),
        ("!=", "=="),
    ],
)
def test_answers_that_differ_in_a_symbol_or_a_letter_do_not_agree(gold, answer):
    assert not contains(gold, answer)
    assert not exact(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("A", "A"),
        ("A", "a"),
        ("A", "Grade A"),
        ("A", "**Grade A**"),
        ("A", "The grade was A."),
        ("A", "A is the right one"),
        ("A", "Answer: A) walnut oil"),
        ("vitamin A", "It has Vitamin A in it"),
        ("a vitamin", "the vitamin"),
        ("once upon a time", "Once Upon A Time"),
        ("Once Upon A Time", "it began once upon a time"),
        ("Samuel A. Mudd", "Samuel Mudd"),
        ("C++", "It was C++."),
        ("C++", "(C++)"),
        ("C#", "`C#`"),
        ("A*", "the A* search"),
        (".NET", "It runs on .NET."),
        ("+", "The sign is +."),
        ("%", "It is the % sign"),
        ("&", "It is '&'."),
        ("?", "`?`"),
        ("-5", "It fell to −5 °C"),
        ("5", "5%"),
        ("5", "5 €"),
        ("$5 million", "some 5 million dollars"),
        ("5 dollars", "It cost $5."),
        ("$5", "US$5"),
        ("50 percent", "About 50% of it"),
        ("90", "at 90° to it"),
        ("x", "x = 5"),
        ("1914", "the year 1914—a dry one"),
        ("10", "It was 10!"),
        ("10!", "It is 10!"),
        ("5", 'about 5" wide'),
        ("km/h", "It is 50 km/h"),
        ("US", "the US– a land"),
        ("Paris", "-Paris"),
        ("I", "-I think"),
        ("city", "Paris -a city"),
        ("三重", "東京-三重"),
        ("Apollo 13!", "Apollo 13"),
        ("∞", "[0,∞)"),
    ],
)
def test_the_same_symbol_or_letter_agrees_in_a_longer_answer(gold, answer):
    assert contains(gold, answer)


def test_f1_does_not_count_a_unit_as_a_word_that_two_numbers_share():
    assert f1("2.4%", "1.5%") == 0.0
    assert f1("$40,000", "$30,000") == 0.0
    assert f1("61", "61%") == 1.0


def test_f1_counts_letters_where_words_are_not_parted():
    assert f1("灯桥", "灯塔") == 0.5
    assert f1("1871年", "1871年") == 1.0


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("C++", "It was C", True),
        ("5 degrees", "-5 degrees", True),
        ("vitamin A", "vitamin C", True),
        ("vitamin A", "Vitamin A", False),
        ("3.14", "314", True),
        ("Samuel A. Mudd", "Mudd", False),
        ("walnut oil", "oil", False),
        ("C++", "Rust", False),
        ("$5", "€5", True),
        ("$5", "5 USD", False),
        ("$5 million", "5 million dollars", False),
        ("5 %", "5", True),
        ("5%", "5‰", True),
        ("5%", "five percent", False),
        (">5", "<5", True),
        ("≥ 18", "≤ 18", True),
        ("> 5", "more than 5", False),
        ("minus five", "five", True),
        ("→ 5", "← 5", True),
        ("a ∧ b", "a ∨ b", True),
        ("10!", "10", True),
    ],
)
def test_it_is_known_when_answers_differ_in_symbols_alone(gold, answer, expected):
    assert differs_in_symbols(gold, answer) == expected


@pytest.mark.parametrize("measure", [exact, contains, f1])
@pytest.mark.parametrize(
    "text",
    [
        "\ud800",
        "\x00",
        "\u0301",
        "\ufdd0",
        "((((",
        "a" * 20000,
        "\u200b",
        "^^**__",
        "A1" * 5000 + "-",
        "A" + "1" * 9000 + "+",
        "x/" * 9000,
    ],
)
def test_no_text_breaks_a_measure(measure, text):
    assert measure(text, text)
    measure(text, "heron")
    measure("heron", text)
