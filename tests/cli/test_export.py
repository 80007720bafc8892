"""`selfedit export` on libraries that were made by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from selfedit import records
from selfedit.cli import export as command
from selfedit.cli.main import main
from selfedit.engine.export import exporter as exporters
from selfedit.errors import SelfeditError
from selfedit.learn import card as cards
from selfedit.learn import export as exports
from selfedit.learn.export import choose, known_question
from selfedit.records import LibraryVersion, Prompt
from selfedit.store.library import LibraryFolder
from tests.support.libraries import MadeLibrary, make_library

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.model


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeLibrary:
    """A library of two documents of a chunk each, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_library(tmp_path)


def told(capsys: Capture, words: str) -> Any:
    """What `selfedit export WORDS --library notes` says as JSON."""
    capsys.readouterr()
    assert main(["export", *words.split(), "--library", "notes", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Capture, words: Sequence[str]) -> str:
    """The one line of an export that is refused; nothing is left of it."""
    before = sorted(path for path in Path().iterdir())
    capsys.readouterr()
    assert main(["export", *words]) == 2
    assert sorted(path for path in Path().iterdir()) == before
    *_, line = capsys.readouterr().err.strip().splitlines()
    return line


def test_the_adapter_of_a_document_is_exported_under_a_name_of_its_own(notes: MadeLibrary, capsys: Capture) -> None:
    said = told(capsys, "notes@live --document doc-1.md --to out")
    [row] = said["exported"]
    policy = dict(notes.version.adapters)[notes.version.documents[1].chunks[0].context_id]
    assert row["name"] == f"notes-1-{policy.digest[:8]}" and row["chunk"] == "doc-1.md:1-4"
    assert (row["rank"], row["learnt_rank"], row["loaded_by"]) == (8, 5, "peft")
    assert (row["asked"], row["base_says"] != row["export_says"]) == ("What jumps over dog 1?", True)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert told(capsys, "live --chunk doc-1.md:1-4 --to again")["exported"] == said["exported"]
    assert Path("out/adapter_model.safetensors").read_bytes() == Path("again/adapter_model.safetensors").read_bytes()


def test_the_card_tells_what_is_known_and_how_it_is_loaded(notes: MadeLibrary, capsys: Capture) -> None:
    [row] = told(capsys, "live --document doc-0.md --base hub/tiny --to out")["exported"]
    card = Path("out/README.md").read_text()
    assert "as this text, without a chat template" in card
    assert card.startswith("---\nbase_model: hub/tiny\n")
    for fact in (notes.version.digest, "0" * 64, "`learn docs`", "| decided nothing | 1 | 0 | 1 |"):
        assert fact in card
    assert "1" * 64 not in card  # the other document
    assert "Of 4 questions of common knowledge 2 were right before, and 1 of these still are" in card
    served = f"vllm serve hub/tiny --enable-lora --max-lora-rank 8 --lora-modules {row['name']}=DIR"
    assert served in card and "5 were learnt, the rest are zeros" in card
    assert "PeftModel.from_pretrained" in card and "What jumps over dog 0?" in card
    assert not re.search(r"^\S.{0,40}\\$", card, re.MULTILINE)


def test_a_consolidated_version_is_one_adapter_that_knows_all_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_library(tmp_path, is_whole=True)
    [row] = told(capsys, "1 --to out")["exported"]
    assert row["name"] == f"notes-1-{made.version.digest[:8]}" and row["chunk"] is None
    assert (row["rank"], row["learnt_rank"]) == (8, 8)
    card = Path("out/README.md").read_text()
    assert "as this text, without a chat template" in card
    assert "0" * 64 in card and "1" * 64 in card and made.version.whole.digest in card
    assert "before these were made one" in card
    [own] = told(capsys, "1 --document doc-0.md --to chunk")["exported"]
    assert own["name"] != row["name"]
    assert "another adapter for all documents. This one by itself was not asked" in Path("chunk/README.md").read_text()


def test_one_adapter_that_does_not_know_newer_documents_is_refused_and_their_own_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_library(tmp_path, documents=3, is_whole=True)
    with LibraryFolder(made.path) as library:
        library.publish(replace(made.version, whole_report=((made.version.adapters[1][0], ()),)))
    line = refused(capsys, ["live", "--library", "notes", "--to", "out"])
    assert "the one adapter of version 2 does not know 2 newer documents (doc-0.md, doc-2.md); make it anew" in line
    assert "`selfedit library consolidate`, name one chunk with --document or --chunk, or take --each" in line
    [own] = told(capsys, "live --document doc-0.md --to chunk")["exported"]
    assert own["chunk"] == "doc-0.md:1-4"


def test_several_adapters_are_exported_one_folder_each_with_a_manifest(notes: MadeLibrary, capsys: Capture) -> None:
    rows = told(capsys, "live --each --to out")["exported"]
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["digest"] == notes.version.digest
    assert [(one["place"], one["folder"]) for one in manifest["chunks"]] == [(r["chunk"], r["name"]) for r in rows]
    weights = [load_file(Path("out") / row["name"] / "adapter_model.safetensors") for row in rows]
    assert len(weights) == 2 and any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    base = AutoModelForCausalLM.from_pretrained(notes.base.source)
    assert PeftModel.from_pretrained(base, str(Path("out") / rows[0]["name"]))


def test_chunks_that_stand_at_one_place_are_all_exported_and_told_apart_by_their_ids(
    notes: MadeLibrary, capsys: Capture
) -> None:
    page = "scan.pdf, page 3"
    with LibraryFolder(notes.path) as library:
        documents = tuple(
            replace(one, chunks=tuple(replace(chunk, place=page) for chunk in one.chunks))
            for one in notes.version.documents
        )
        library.publish(replace(notes.version, documents=(replace(documents[0], sha256="2" * 64), *documents[1:])))
    ids = [chunk.context_id for one in documents for chunk in one.chunks]
    told(capsys, "live --each --to out")
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert [(one["place"], one["context_id"]) for one in manifest["chunks"]] == [(page, one) for one in ids]
    assert len({one["folder"] for one in manifest["chunks"]}) == 2
    line = refused(capsys, ["live", "--chunk", page, "--library", "notes", "--to", "one"])
    assert line.endswith(f"--chunk {page}: 2 chunks are called so; name one by its id: {', '.join(ids)}")
    assert len(told(capsys, f"live --chunk {ids[0]} --to one")["exported"]) == 1


@pytest.mark.parametrize("form", ["peft", "merged", "gguf"])
def test_an_export_names_no_path_of_this_machine(
    form: str, notes: MadeLibrary, capsys: Capture, tmp_path: Path
) -> None:
    told(capsys, f"live --document doc-0.md --format {form} --to out")
    held = {path.name: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert len(held) >= 3
    assert [name for name, content in held.items() if str(tmp_path).encode() in content] == []
    assert b"tiny-model" in held["README.md"]  # the folder's own name, where nothing else is known


def test_a_gguf_comes_with_a_modelfile_that_puts_questions_as_they_were_learnt(
    notes: MadeLibrary, capsys: Capture
) -> None:
    capsys.readouterr()
    assert main("export live --document doc-0.md --format gguf --to out --library notes".split()) == 0
    assert "put the base model into out as base.gguf" in capsys.readouterr().err
    assert Path("out/Modelfile").read_text() == (
        "FROM ./base.gguf\nADAPTER ./adapter.gguf\n"
        'TEMPLATE """Answer the question directly and in a few words.\n'
        'Question: Topic: Town 0\n{{ .Prompt }}\nAnswer:"""\n'
        'PARAMETER temperature 0\nPARAMETER num_predict 32\nPARAMETER stop "\\n"\n'
    )
    card = Path("out/README.md").read_text()
    assert "as this text, without a chat template" in card
    assert "llama-server -m base.gguf --lora adapter.gguf" in card and "ollama create notes-1-" in card


def test_what_cannot_be_exported_is_refused_in_one_line(notes: MadeLibrary, capsys: Capture) -> None:
    here = ["--library", "notes", "--to", "out"]
    line = refused(capsys, ["live", *here])
    assert "version 1 has 2 adapters" in line and "selfedit library consolidate" in line and "--document" in line
    assert "notes has no such version; it has live, 1" in refused(capsys, ["9", *here])
    assert "other@live: notes has no such version" in refused(capsys, ["other@live", *here])
    line = refused(capsys, ["live", "--document", "x.md", *here])
    assert "--document x.md: version 1 has no such; it has doc-0.md, doc-1.md" in line
    line = refused(capsys, ["live", "--chunk", "doc-0.md:9", *here])
    assert "--chunk doc-0.md:9: version 1 knows no such chunk; it knows doc-0.md:1-4" in line
    assert "--each is for --format peft, not merged" in refused(capsys, ["--each", "--format", "merged", *here])
    assert "--base-gguf is for --format gguf, not peft" in refused(capsys, ["--base-gguf", "x", *here])
    line = refused(capsys, ["--base-gguf", "x", "--format", "gguf", *here])
    assert "--base-gguf x: no such file" in line
    assert "Missing from selfedit export: to PATH" in refused(capsys, ["live", "--library", "notes"])
    assert "nowhere: no such folder" in refused(capsys, ["live", "--library", "nowhere", "--to", "out"])
    (Path("full") / "sub").mkdir(parents=True)
    line = refused(capsys, ["live", "--document", "doc-0.md", "--library", "notes", "--to", "full"])
    assert "--to full: is there, and not an empty folder" in line
    line = refused(capsys, ["live", "--document", "doc-0.md", "--library", "notes", "--to", "notes/out"])
    assert "--to notes/out: lies in the library" in line
    line = refused(capsys, ["live", "--document", "doc-0.md", "--library", "notes", "--to", "full/../notes/out"])
    assert "--to full/../notes/out: lies in the library" in line
    line = refused(capsys, ["live", "--document", "doc-0.md", "--device", "abacus", *here])
    assert "--device abacus: not available here" in line


def test_an_export_that_is_at_fault_leaves_nothing_behind(
    notes: MadeLibrary, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path, *given: object) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"")
        raise SelfeditError("export: what was written is all zeros; nothing is exported")

    monkeypatch.setattr(exporters, "write_peft", write)
    line = refused(capsys, ["live", "--document", "doc-0.md", "--library", "notes", "--to", "out"])
    assert line == "selfedit: export: what was written is all zeros; nothing is exported"


def test_an_adapter_that_is_not_the_one_that_was_learnt_is_refused(notes: MadeLibrary, capsys: Capture) -> None:
    path = notes.path / "adapters" / "lesson-0" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    line = refused(capsys, ["live", "--document", "doc-0.md", "--library", "notes", "--to", "out"])
    assert "is not the one that was recorded" in line


def test_the_question_that_is_asked_was_wrong_before_where_there_is_such_a_one(notes: MadeLibrary) -> None:
    with LibraryFolder(notes.path) as library:
        [one, _] = choose(library, notes.version, each=True)
    [lesson] = one.lessons

    def asked(*verdicts: tuple[str, str]) -> str:
        [answer] = lesson.report.after
        pairs = [
            (
                replace(answer, question_id=f"{i}", question=f"{i}?", verdict=before),
                replace(answer, question_id=f"{i}", question=f"{i}?", verdict=after),
            )  # type: ignore[arg-type]
            for i, (before, after) in enumerate(verdicts)
        ]
        tested = records.Tested(tuple(b for b, _ in pairs), tuple(a for _, a in pairs))
        return known_question(
            replace(one, lessons=(replace(lesson, gate=records.Tested(), report=tested),)), 4
        ).question

    right, wrong = "correct", "incorrect"
    assert asked((wrong, wrong), (right, right), (wrong, right)) == "2?"
    assert asked((wrong, wrong), (right, right), (right, wrong)) == "1?"
    assert asked((right, wrong), (wrong, wrong)) == "1?"
    assert asked() == "A town 0 on the coast was founded by a widow who"


def test_a_version_that_knows_nothing_is_refused(notes: MadeLibrary) -> None:
    empty: LibraryVersion = replace(notes.version, adapters=())
    with LibraryFolder(notes.path) as library, pytest.raises(SelfeditError, match="knows nothing that could be"):
        choose(library, empty)


def test_text_from_documents_starts_no_markup_in_a_card() -> None:
    assert cards._plain("a|b `c` <i> [x](y)\nz") == r"a\|b \`c\` \<i> \[x](y) z"
    assert len(cards._plain("x" * 500)) == 200
    put = cards._putting(Prompt("a ```` b", raw=True))
    assert "without a chat template" in put and put.count("`````") == 2
    for quotes in ('"' * 3, '"' * 4, '"' * 5, '"' * 9):
        assert cards.modelfile(f"He said {quotes}stop{quotes} {{{{ .Prompt }}}}").count('"""') == 2


@pytest.mark.parametrize("title", ["{{ .System }}", "{{{ .System }}}", "{{{{{{ x"])
def test_a_title_is_no_template(notes: MadeLibrary, title: str) -> None:
    with LibraryFolder(notes.path) as library:
        [one, _] = choose(library, notes.version, each=True)
    [lesson] = one.lessons
    named = replace(one, lessons=(replace(lesson, context=replace(lesson.context, title=title)),))
    assert exports._template(named).count("{{") == 1


def test_the_embedded_models_gguf_is_left_out_where_it_cannot_be_had(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfedit.engine.model import loading

    def fail() -> Path:
        raise SelfeditError("no network")

    monkeypatch.setattr(loading, "fetch_embedded_gguf", fail)
    assert command._embedded() is None
    assert "without base.gguf: no network" in capsys.readouterr().err
