"""Every kind of input: valid ones, from which wrong ones are made, and the command that reads them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.support.fuzz.mutations import NUMBERS, TEXTS, as_bytes, damaged, json_files, jsonl_files, mutated

Build = Callable[[st.DrawFn, Path], list[str]]

PASSAGES = [
    {
        "id": f"p{number}",
        "title": f"Place {number}",
        "context": f"Place {number} lies high. Its founder was Ada {number}.",
        "questions": [{"question": f"Who founded place {number}?", "answer": f"Ada {number}"}],
    }
    for number in range(4)
]
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": f"Place {number}",
            "paragraphs": [
                {
                    "context": f"Place {number} lies high. Its founder was Ada {number}.",
                    "qas": [
                        {
                            "id": f"q{number}",
                            "question": f"Who founded place {number}?",
                            "answers": [{"text": f"Ada {number}", "answer_start": 40}],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        }
        for number in range(3)
    ],
}
ANSWERS = [
    {"question": "Who founded it?", "gold": "Ada", "answer": "It was Ada.", "correct": True},
    {"question": "When?", "gold": "1987", "answer": "in 1887", "correct": False},
    {"question": "Where?", "gold": "up there", "answer": "", "id": 3},
]
EDITS = [{"id": f"p{number}", "edits": [f"1. It is {number}.\n2. Ada knew.", "Ada."]} for number in range(4)]
PAIR = {"input": [[1, 2], [3, 4]], "output": [[2, 1], [4, 3]]}
PUZZLE = {"train": [PAIR, PAIR], "test": [PAIR]}
CHALLENGES = {name: {"train": [PAIR, PAIR], "test": [{"input": [[1, 2], [3, 4]]}]} for name in ("aaaa0001", "aaaa0002")}
SOLUTIONS = {name: [[[2, 1], [4, 3]]] for name in CHALLENGES}
PROBE = [
    *({"question": f"What is {n}?", "answer": "a number"} for n in range(8)),
    {"title": "A text", "text": "Once upon a time there was a text."},
]
DIRECTIVES = {
    "data_generation": {
        "use_basic_augmentations": True,
        "use_size_augmentations": False,
        "use_chain_augmentations": True,
        "use_repeat_augmentations": False,
    },
    "training": {"strategy": "train_using_all_tokens", "learning_rate": 1e-4, "num_train_epochs": 2},
}
SETTINGS: dict[str, Any] = {
    "recipe": "embedded",
    "task": "passages",
    "data": "invented",
    "seed": 3,
    "reward": "both",
    "rounds": 1,
    "contexts": 2,
    "edits": 2,
    "seeds": 1,
    "heldout": 1,
    "racing": False,
    "sampling": {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 16},
    "inner": {"rank": 4, "learning_rate": 1e-3, "epochs": 1},
    "outer": {"rank": 4, "epochs": 1},
}
REPLY = {
    "id": "r1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}
SMALL = "--methods base,synthetic --contexts 1 --n-edits 1 --run r --json"
RUN_COMMANDS = (
    "report e --json",
    "report e",
    "versions e",
    "versions t --json",
    "versions t --restore policy-1 --to copy --json",
    "grade e --grader exact --json",
    "eval --methods base,synthetic,seal --policy t --contexts 1 --n-edits 1 --run e --json",
    "eval --methods base,seal --policy t --contexts 1 --n-edits 1 --run other --json",
    "train --recipe embedded --rounds 1 --contexts 2 --edits 2 --seeds 1 --heldout 1 --min-gain -9 --run t --json",
)
"""What reads the runs `t` (trained) and `e` (an evaluation of it)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input."""

    name: str
    build: Build
    """Draws an input and writes it into the folder; returns the words of the command that reads it."""
    share: int
    """Of ten thousand inputs."""
    on_runs: bool = False
    """The folder holds finished runs."""


def _passages(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.jsonl").write_bytes(draw(jsonl_files(PASSAGES)))
    return f"eval --data f.jsonl {SMALL}".split()


def _squad(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.json").write_bytes(draw(json_files([SQUAD], 4)))
    return f"eval --data f.json {SMALL}".split()


def _puzzles(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.json").write_bytes(draw(json_files([PUZZLE, CHALLENGES])))
    if draw(st.integers(0, 3)):
        return "eval --task arc --data none --heldout-data f.json --methods base,synthetic --n-edits 1 --run r".split()
    return "solve f.json --submission answers.json --run r".split()


def _solutions(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "arc_challenges.json").write_bytes(as_bytes(CHALLENGES, True))
    (here / "arc_solutions.json").write_bytes(draw(json_files([SOLUTIONS])))
    return "eval --task arc --data none --heldout-data arc_challenges.json --methods base --run r".split()


def _edits(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "p.jsonl").write_bytes(b"\n".join(as_bytes(one, True) for one in PASSAGES))
    (here / "f.jsonl").write_bytes(draw(jsonl_files(EDITS)))
    return "eval --data p.jsonl --edits f.jsonl --methods base,edits --contexts 1 --run r --json".split()


def _answers(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.jsonl").write_bytes(draw(jsonl_files(ANSWERS)))
    return ["grade", "f.jsonl", "--grader", draw(st.sampled_from(["contains", "exact", "f1", "calibrated", "nobody"]))]


def _config(draw: st.DrawFn, here: Path) -> list[str]:
    settings = draw(mutated([SETTINGS], 2))
    command = draw(st.sampled_from(["train", "train", "eval", "continual"]))
    if draw(st.booleans()):
        content = as_bytes(settings, True)
    else:
        content = yaml.safe_dump(settings, allow_unicode=True).encode("utf-8", "surrogatepass")
    (here / "f.yaml").write_bytes(draw(st.one_of(st.just(content), damaged(content))))
    return [command, "--config", "f.yaml", "--run", "r", "--json"]


def _probe(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.jsonl").write_bytes(draw(jsonl_files(PROBE)))
    return "continual --recipe embedded --contexts 2 --sequences 1 --probe f.jsonl --run r --json".split()


def _run_record(draw: st.DrawFn, here: Path) -> list[str]:
    path = here / draw(st.sampled_from(["t", "e"])) / "config.json"
    path.write_bytes(draw(json_files([json.loads(path.read_text())])))
    return draw(st.sampled_from(RUN_COMMANDS)).split()


def _run_file(draw: st.DrawFn, here: Path) -> list[str]:
    """A ledger or an adapter's file that is damaged, missing, empty, a folder or a link."""
    names = [
        "t/ledger.db",
        "e/ledger.db",
        "t/adapters/policy-1/adapter_model.safetensors",
        "t/run.lock",
        "e/report.html",
    ]
    path = here / draw(st.sampled_from(names))
    if path.exists():
        content = path.read_bytes()
        path.unlink()
        match draw(st.sampled_from(["damaged", "damaged", "damaged", "missing", "folder", "link"])):
            case "damaged":
                path.write_bytes(draw(damaged(content)))
            case "folder":
                path.mkdir()
            case "link":
                path.symlink_to(draw(st.sampled_from(["/dev/null", "../victim", "../nowhere", "../e/config.json"])))
    return draw(st.sampled_from(RUN_COMMANDS)).split()


def _records(draw: st.DrawFn, here: Path) -> list[str]:
    """Records in a ledger that is whole."""
    with contextlib.closing(sqlite3.connect(here / draw(st.sampled_from(["t", "e"])) / "ledger.db")) as connection:
        tables = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        ]
        table = draw(st.sampled_from(tables))
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = draw(st.sampled_from([*columns, *(["body"] * 3 if "body" in columns else [])]))
        held = [row[0] for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid")]
        value: object = draw(st.sampled_from([None, "", "x", -1, 2**62, 0.5, b"\x00", "\x1b[31m", "[/x]", "../x"]))
        if column == "body" and held and draw(st.integers(0, 4)):
            value = draw(json_files([json.loads(held[0])])).decode("utf-8", "replace")
        with contextlib.suppress(sqlite3.Error), connection:
            place = draw(st.sampled_from(["", f" WHERE rowid = (SELECT min(rowid) FROM {table})"]))
            connection.execute(f"UPDATE {table} SET {column} = ?{place}", (value,))
    return draw(st.sampled_from(RUN_COMMANDS)).split()


_FLAGS = """
    model task recipe run rounds contexts edits seeds heldout heldout-data reward grader judge judge-model seed
    device dtype bank inner.rank inner.epochs inner.learning-rate outer.rank sampling.temperature
    sampling.max-new-tokens methods policy strategy sequences probe config json help no-such learner writer
    writer-model min-gain keep racing setting n-edits prompt ask-style edits.x submission restore to preview
    lines warm.contexts warm.material warm.together warm.step warm.passes minutes quick answer-tokens rehearsed
""".split()
_WORDS = ("train eval continual versions reproduce solve report grade doctor setup demo nothing -h -- -").split()


def _command_line(draw: st.DrawFn, here: Path) -> list[str]:
    plain = st.sampled_from(["none", "passages", "arc", "fake", "exact", "judge", "0", "1", "2", "r", "base", "seal"])
    value = st.one_of(plain, plain, st.sampled_from(TEXTS), st.sampled_from(NUMBERS).map(str))
    words = [draw(st.sampled_from(_WORDS))]
    for flag in draw(st.lists(st.sampled_from(_FLAGS), max_size=4)):
        given = [] if flag in ("json", "help", "quick") or not draw(st.integers(0, 5)) else [draw(value)]
        words += [f"--{flag}={given[0]}"] if given and draw(st.booleans()) else [f"--{flag}", *given]
    if not draw(st.integers(0, 4)):
        words.insert(draw(st.integers(0, len(words))), draw(value))
    small = {"train": "--contexts 1 --edits 1 --heldout 1", "eval": "--contexts 1 --n-edits 1"}
    if words[0] in small and draw(st.booleans()):
        words[1:1] = small[words[0]].split()
    words = [word.replace("\0", "") for word in words]  # no program can be given one
    if words[0] in ("setup", "demo", "reproduce", "doctor"):
        words.append("--no-such-flag")  # these load a model, or work for long
    return [*words, "--run", "r"] if words[0] in ("train", "eval", "continual", "solve") else words


KINDS = (
    Kind("passages", _passages, 1000),
    Kind("squad", _squad, 800),
    Kind("puzzles", _puzzles, 800),
    Kind("solutions", _solutions, 400),
    Kind("edits", _edits, 700),
    Kind("answers", _answers, 1000),
    Kind("config", _config, 800),
    Kind("probe", _probe, 300),
    Kind("run-record", _run_record, 500, on_runs=True),
    Kind("run-file", _run_file, 500, on_runs=True),
    Kind("records", _records, 600, on_runs=True),
    Kind("command-line", _command_line, 1000),
)
"""Inputs that a command reads from files or words; what models and endpoints say is in replies.py."""
