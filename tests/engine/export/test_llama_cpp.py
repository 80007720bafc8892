"""The real llama.cpp answers with an exported adapter as selfedit does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from selfedit.engine.export import exporter as exporters
from selfedit.engine.export.asking import as_asked, ask
from selfedit.engine.export.exporter import Exporter
from selfedit.engine.export.llama_cpp import LlamaCpp
from selfedit.errors import SelfeditError
from tests.engine.export.test_exporter import KINDS, QUERY, order
from tests.support.gguf_models import write_base_gguf
from tests.support.libraries import make_library

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install selfedit[export-test])")
pytestmark = pytest.mark.model


@pytest.mark.parametrize("family", ["llama", "tied", "qwen2", "qwen3", "gpt2"])
def test_llama_cpp_says_the_same_with_the_adapter_and_another_thing_without(family: str, tmp_path: Path) -> None:
    made = make_library(tmp_path, family, kinds=KINDS.get(family, KINDS["llama"]))
    base = tmp_path / "tiny.gguf"
    write_base_gguf(base, made.base)
    asked = as_asked(made.base.model, made.base.tokenizer, QUERY)
    _model, _tokenizer = made.base.model, made.base.tokenizer
    here, there = (
        ask(made.base.model, made.base.tokenizer, asked),
        LlamaCpp(base, context=256).ask(made.base.tokenizer, asked),
    )
    assert there.text == here.text and math.isclose(there.logprob, here.logprob, abs_tol=0.02)
    to = tmp_path / "out"
    to.mkdir()
    checks = Exporter(made.base).write(order(made, "gguf", base_gguf=base), to).checks
    read, real = checks
    assert (read.loaded_by, real.loaded_by) == ("transformers", "llama.cpp")
    assert real.exported == read.exported != real.base
    assert math.isclose(real.exported_logprob, read.exported_logprob, abs_tol=0.02)
    assert abs(real.exported_logprob - real.base_logprob) > 0.05


def test_rows_in_transformers_order_would_have_been_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_library(tmp_path)
    base = tmp_path / "tiny.gguf"
    write_base_gguf(base, made.base)
    to = tmp_path / "out"
    to.mkdir()
    names = exporters.gguf_names

    def without_order(config: object, modules: dict[str, object]) -> object:
        found = names(config, modules)
        return type(found)(found.architecture, found.names, {})

    monkeypatch.setattr(exporters, "gguf_names", without_order)
    with pytest.raises(SelfeditError, match=r"loaded by llama\.cpp, gives the known answer a log-probability of"):
        Exporter(made.base).write(order(made, "gguf", base_gguf=base), to)


def test_a_base_of_another_shape_or_family_is_refused(tmp_path: Path) -> None:
    made, other = make_library(tmp_path / "one"), make_library(tmp_path / "two", "qwen2")
    path = tmp_path / "other.gguf"
    write_base_gguf(path, other.base)
    with pytest.raises(SelfeditError, match=r"other\.gguf: is a qwen2 model, not llama"):
        Exporter(made.base).write(order(made, "gguf", base_gguf=path), tmp_path)
    path.write_bytes(b"no GGUF at all, but some bytes")
    with pytest.raises(SelfeditError, match=r"other\.gguf: no readable GGUF"):
        Exporter(made.base).write(order(made, "gguf", base_gguf=path), tmp_path)
    with pytest.raises(SelfeditError, match=r"llama\.cpp does not load other\.gguf"):
        LlamaCpp(path)
