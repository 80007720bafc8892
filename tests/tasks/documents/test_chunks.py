"""Documents as chunks with titles and places."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from selfedit.tasks.documents import chunks
from selfedit.tasks.documents.chunks import Chunk, chunk_sources
from selfedit.tasks.documents.sources import Source
from selfedit.tasks.passages.files import LeftOut

RAIL = "The Oskaveld line opened in 1874 and runs for 31 kilometres along the Luma brook to Merl."
FARES = "A single ticket costs 4 crowns, and children travel free of charge until they are six years old."
HANDBOOK = f"# Handbook\n\n## Travel\n\n### Rail\n\n{RAIL}\n\n### Fares\n\n{FARES}\n"


def count(text: str) -> int:
    return len(text.split())


def chunked(name: str, text: str | bytes, tokens: int = 20) -> tuple[list[Chunk], dict[str, int]]:
    data, left_out = text.encode() if isinstance(text, str) else text, LeftOut()
    source = Source(Path(name), name, data, hashlib.sha256(data).hexdigest())
    return chunk_sources([source], tokens, count, left_out), left_out.counts


def test_a_chunk_has_the_headings_above_it_and_its_lines() -> None:
    found, counts = chunked("handbook.md", HANDBOOK)
    assert [(one.title, one.place, one.text) for one in found] == [
        ("Handbook › Travel › Rail", "handbook.md:7-7", RAIL),
        ("Handbook › Travel › Fares", "handbook.md:11-11", FARES),
    ]
    assert counts == {}


def test_what_has_not_changed_keeps_its_name() -> None:
    before, _ = chunked("handbook.md", HANDBOOK)
    after, _ = chunked("handbook.md", HANDBOOK.replace("4 crowns", "5 crowns"))
    assert before[0].id == after[0].id
    assert before[1].id != after[1].id


def test_lines_that_were_broken_for_their_length_are_whole_sentences_again() -> None:
    broken = (
        RAIL.replace(" along", "\nalong") + "\n\n- a list stays\n- as it is, one line each, however long it may be\n"
    )
    [found], _ = chunked("rail.txt", broken, 200)
    assert found.text.splitlines()[0] == RAIL
    assert "- a list stays\n- as it is" in found.text
    assert found.lines == (1, 5)


def test_marks_of_markdown_are_no_words_and_those_of_code_are() -> None:
    words = "The **Oskaveld** line opened in `1874`, see [the map](map.png), and runs along the Luma brook to Merl."
    [page], _ = chunked("rail.md", words, 200)
    assert "The Oskaveld line opened in 1874, see the map, and" in page.text
    code = f"def line(*stops, **fares):\n    '{RAIL}'\n"
    [listing], _ = chunked("rail.py", code, 200)
    assert "line(*stops, **fares)" in listing.text


def test_a_heading_within_fenced_code_is_none() -> None:
    [found], _ = chunked("a.md", f"# Rail\n\n```\n# no heading\n```\n\n{RAIL}\n", 200)
    assert found.titles == ("Rail",)


def test_a_comment_in_code_is_no_heading() -> None:
    [listing], _ = chunked("rail.py", f"# {RAIL}\n# {FARES}\n", 200)
    assert listing.titles == ("rail",)
    assert listing.text.startswith(f"# {RAIL}")


def test_objects_of_a_file_share_no_chunk() -> None:
    rows = f'{{"title": "Rail", "text": "{RAIL}"}}\n{{"title": "Fares", "text": "{FARES}"}}\n'
    found, _ = chunked("rows.jsonl", rows, 500)
    assert [(one.title, one.place) for one in found] == [
        ("rows › Rail", "rows.jsonl:1-1"),
        ("rows › Fares", "rows.jsonl:2-2"),
    ]


def test_what_is_too_short_or_no_prose_or_stands_twice_is_counted() -> None:
    numbers = " ".join(f"{number}.{number}" for number in range(40))
    found, counts = chunked(
        "a.md", f"# One\n\n{RAIL}\n\n# Two\n\n{RAIL}\n\n# Three\n\nToo short.\n\n# Four\n\n{numbers}\n"
    )
    assert [one.text for one in found] == [RAIL]
    assert counts[chunks.SHORT] >= 1 and counts[chunks.TWICE] == 1 and counts[chunks.NO_PROSE] >= 1


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on() -> None:
    left_out = LeftOut()
    sources = [Source(Path(name), name, data, name) for name, data in (("a.txt", b"\0"), ("b.txt", RAIL.encode()))]
    assert len(chunk_sources(sources, 50, count, left_out)) == 1
    assert left_out.counts == {"binary file{s}": 1}


@pytest.mark.parametrize("tokens", [30, 100, 300])
def test_chunks_are_about_as_long_as_asked(tokens: int) -> None:
    text = "\n\n".join(f"In {year} the line was {RAIL[4:]} {FARES}" for year in range(1900, 1960))
    found, _ = chunked("long.txt", text, tokens)
    lengths = [count(one.text) for one in found]
    assert max(lengths) <= tokens * 1.15
    assert sum(lengths) / len(lengths) > tokens * 0.4


def test_a_megabyte_takes_seconds_at_most() -> None:
    text = "\n\n".join(f"# Year {n}\n\nIn {n} the line was {RAIL[4:]} {FARES}" for n in range(5_000))
    start = time.process_time()
    found, _ = chunked("long.md", text, 200)
    assert found
    assert time.process_time() - start < 10 * len(text) / 1e6


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (  # a manual page: everything is far in, words are cut, spaces fill the line
            "       The  first  line of this paragraph is a long one, and its con‐\n"
            "       tents go on here.\n\n       --zstd filter it.\n",
            [
                "The first line of this paragraph is a long one, and its contents go on here.",
                "       --zstd filter it.",
            ],
        ),
        (  # an answer that hangs behind its mark
            "A:  The suffix was selected because it seemed to be pretty much\n    unused at that time.\n",
            ["A: The suffix was selected because it seemed to be pretty much unused at that time."],
        ),
        (  # a listing is no paragraph
            "The call is made in the following way, whatever comes:\n\n"
            "    first = call(one, two, three, four, five, six)\n    second = call(seven)\n",
            [
                "The call is made in the following way, whatever comes:",
                "    first = call(one, two, three, four, five, six)",
                "    second = call(seven)",
            ],
        ),
        (  # a heading that only its number marks
            "5.7 Specifying the section and the priority of it\nThe fields do not say where it goes.\n",
            ["5.7 Specifying the section and the priority of it", "The fields do not say where it goes."],
        ),
    ],
)
def test_lines_are_joined_where_a_paragraph_goes_on_and_nowhere_else(text: str, lines: list[str]) -> None:
    assert [line for line in chunks._readable(text, "text").splitlines() if line] == lines


@pytest.mark.parametrize(
    ("start", "unit"), [("", "```x\n"), ("", "~~~\n```\n"), ("", "```\n"), ("# ", "#"), ("# ", "["), ("# x", "_")]
)
def test_no_document_takes_more_than_its_length_to_be_cut(start: str, unit: str) -> None:
    text = f"{HANDBOOK}\n{start}{unit * (200_000 // len(unit))}x\n"
    started = time.process_time()
    found = chunks._paths("", text)
    assert time.process_time() - started < 2
    assert found[3][1][-2:] == ("Travel", "Rail")


def test_headings_are_read_without_their_marks_and_none_within_fences() -> None:
    text = "# A #\n## B ##  \n```py\n# no\n~~~\n```\n### C#\n~~~\n# no\n~~~\n# #\n```\n## D\n"
    assert [titles for _, titles in chunks._paths("A", text)][1:] == [
        ("A",),
        ("A", "B"),
        ("A", "B", "C"),
        ("A", "#"),
        ("A", "#", "D"),
    ]
