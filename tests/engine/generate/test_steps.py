"""Decoding steps that are written out, and those that are compiled, against the model's own code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.attention import KVCache
from selfedit.engine.forward.eight_bits import EightBits
from selfedit.engine.generate import few_rows, steps
from selfedit.engine.generate.decoding import Decoder, Request, start
from selfedit.engine.generate.few_rows import MOST_ROWS
from selfedit.engine.generate.grammar import JsonGrammars
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model.loading import LoadedModel
from selfedit.records import SamplingParams
from tests.support.reference import sequences
from tests.support.tiny import DEVICE, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.model
WRITTEN_OUT = ["llama", "tied", "qwen2", "qwen3"]
GREEDY = SamplingParams(temperature=0, max_new_tokens=12)
needs_numba = pytest.mark.skipif(find_spec("numba") is None or DEVICE != "cpu", reason="needs numba, and a CPU")


def engine_in(dtype: torch.dtype, family: str = "llama", has_adapters: bool = True) -> TorchEngine:
    """An engine with adapters in three slots and one beneath; where there are to be any."""
    model = tiny_model(family).to(dtype).requires_grad_(False)
    engine = TorchEngine(LoadedModel(model, tiny_tokenizer(False), family, "none"), 4)
    if has_adapters:
        names = [name for name in engine.bank.layers if not name.endswith("k_proj")]
        engine.reserve(3, 3, names=names)
        for slot in range(3):
            engine.bank.load_matrices(slot, matrices(engine, slot, names))
        engine.bank.set_under(matrices(engine, 9, [name for name in engine.bank.layers if "o_proj" not in name]))
    return engine


def matrices(engine: TorchEngine, seed: int, names: Sequence[str], rank: int = 2) -> Matrices:
    generator = torch.Generator().manual_seed(seed)

    def pair(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        layer = engine.bank.layers[name]
        shapes = (rank, layer.n_in), (layer.n_out, rank)
        low, high = (0.3 * torch.randn(*shape, generator=generator) for shape in shapes)
        return low, high

    return {name: pair(name) for name in names}


def decoder_of(engine: TorchEngine, way: str, is_rounded: bool = False) -> Decoder:
    """One that takes the model's `own` code, steps as they are `written` out, or `compiled` ones."""
    decoder = Decoder(engine.model, engine.holder, frozenset(), frozenset(), frozenset(), is_rounded=is_rounded)
    if way == "compiled":
        assert decoder.few_rows is not None
    else:
        decoder.few_rows = None
        assert way == "own" or decoder.steps is not None
        decoder.steps = decoder.steps if way == "written" else None
    return decoder


def requests_of(n: int, sampling: SamplingParams = GREEDY) -> list[Request]:
    """Of different lengths, two by the policy and the others by the adapters; in the order of a batch."""
    prompts = [t.ids for t in sequences(5, (4, 9, 17, 6, 3, 11, 5, 8, 7, 10)[:n])]
    return [Request(prompt, -1 if i < 2 else i % 3, sampling, i) for i, prompt in enumerate(prompts)]


@torch.no_grad()
def said(decoder: Decoder, n: int, slots: bool = True) -> list[torch.Tensor]:
    """Logits after the prompts of n rows and after each of some tokens."""
    requests = sorted(requests_of(n), key=lambda request: request.slot) if slots else requests_of(min(n, 2))
    cache = KVCache(rows=len(requests), length=40)
    rows = decoder.admit([start(i, request, None) for i, request in enumerate(requests)], cache, 0, {})
    found = []
    for _ in range(5):
        found.append(decoder._step_logits(rows, cache).clone())
        decoder._draw(rows, found[-1].clone())
    return found


@pytest.mark.parametrize("family", WRITTEN_OUT)
@pytest.mark.parametrize("n", [1, 4, 10])
def test_a_step_that_is_written_out_says_to_the_last_digit_what_the_models_own_code_says(family: str, n: int) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        engine = engine_in(dtype, family)
        own, written = (said(decoder_of(engine, way), n) for way in ("own", "written"))
        assert all(map(torch.equal, own, written))


def test_so_it_does_with_weights_of_8_bits() -> None:
    engine = engine_in(torch.float32)
    own, written = (said(decoder_of(engine, way, is_rounded=True), 7) for way in ("own", "written"))
    assert all(map(torch.equal, own, written))


@pytest.mark.parametrize("family", ["gpt2", "gemma", "gemma3", "mistral"])
def test_other_models_and_windows_take_their_own_code(family: str) -> None:
    engine = engine_in(torch.float32, family, has_adapters=False)
    decoder = engine.speaker.decoder
    assert decoder.steps is None and decoder.few_rows is None
    assert "numba" not in engine.facts


@needs_numba
@pytest.mark.parametrize("family", WRITTEN_OUT)
@pytest.mark.parametrize("is_rounded", [False, True])
def test_compiled_steps_say_what_plain_ones_say_but_for_rounding(family: str, is_rounded: bool) -> None:
    engine = engine_in(torch.float32, family)
    bound = 1e-2 if is_rounded else 1e-4  # in 8 bits a last digit can move what comes in by a step
    for n in (1, 2, 3, 4, MOST_ROWS):
        plain, compiled = (said(decoder_of(engine, way, is_rounded), n) for way in ("written", "compiled"))
        for one, other in zip(plain, compiled, strict=True):
            assert torch.allclose(one, other, atol=bound * float(one.std()), rtol=0)
            assert torch.equal(one.argmax(1), other.argmax(1))


@needs_numba
def test_compiled_steps_write_the_same_texts_greedy_and_drawn() -> None:
    engine = engine_in(torch.float32)
    for sampling in (GREEDY, SamplingParams(temperature=0.8, top_p=0.9, max_new_tokens=12)):
        requests = requests_of(4, sampling)
        plain, compiled = (decoder_of(engine, way).generate(requests) for way in ("written", "compiled"))
        assert plain == compiled


@needs_numba
def test_compiled_steps_keep_to_a_grammar() -> None:
    engine = engine_in(torch.float32, has_adapters=False)
    schema = json.dumps({"type": "object", "properties": {"a": {"enum": ["it", "is"]}}, "required": ["a"]})
    texts = []
    for way in ("written", "compiled"):
        decoder = decoder_of(engine, way)
        decoder.grammars = JsonGrammars(engine.tokenizer, 400, frozenset({0}))
        decoder.stop_ids = frozenset({0})
        sampling = SamplingParams(temperature=0, max_new_tokens=40)
        [(ids, is_ended)] = decoder.generate([Request((5, 6, 7), -1, sampling, json_schema=schema)])
        assert is_ended and json.loads(engine.tokenizer.decode(ids))["a"] in ("it", "is")
        texts.append(ids)
    assert texts[0] == texts[1]


@needs_numba
@pytest.mark.parametrize("is_rounded", [False, True])
def test_the_number_of_threads_touches_no_digit(is_rounded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, found = engine_in(torch.float32), []
    monkeypatch.setattr(few_rows, "_WORTH_A_THREAD", 1)
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        found.append(said(decoder_of(engine, "compiled", is_rounded), 3)[-1])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@needs_numba
def test_what_changes_in_weights_and_adapters_is_read_anew() -> None:
    engine = engine_in(torch.float32)
    plain, compiled = decoder_of(engine, "written"), decoder_of(engine, "compiled")
    changes = [
        lambda: engine.bank.set_under({}),
        lambda: engine.reserve(0, 0),
        lambda: engine.holder.release(),
        lambda: setattr(engine.bank.sites[0], "weight", engine.bank.sites[0].weight * 2),
        lambda: setattr(engine.model.model.norm.weight, "data", engine.model.model.norm.weight.data * 3),
    ]
    last = said(compiled, 2, slots=False)[-1]
    for change in changes:
        change()
        found = said(compiled, 2, slots=False)[-1]
        assert torch.allclose(found, said(plain, 2, slots=False)[-1], atol=1e-3 * float(found.std()), rtol=0)
        assert torch.equal(found, last) == (change in (changes[1], changes[2]))
        last = found


@needs_numba
def test_steps_are_plain_while_someone_watches_what_comes_into_the_layers() -> None:
    engine = engine_in(torch.float32, has_adapters=False)
    decoder = decoder_of(engine, "compiled")
    engine.bank.sites[-1].gram = torch.zeros(48, 48)
    said(decoder, 1, slots=False)
    assert engine.bank.sites[-1].gram.any()


@needs_numba
def test_sums_that_32_bits_do_not_hold_are_exact_as_well() -> None:
    from selfedit.engine.generate.compiled import _product_in_8_bits, _steps

    width = 3000
    weight, x = torch.full((2, width), 0.5), torch.ones(1, width)
    weight[1, 0] = -0.5
    whole, scales = EightBits(weight).by_rows(weight)
    rows, sizes, out = np.empty((1, width), np.int16), np.empty(1, np.float32), np.empty((1, 2), np.float32)
    sizes[0], is_exact = _steps(x[0].numpy(), rows[0])
    assert not is_exact
    _product_in_8_bits(rows, sizes, is_exact, whole.numpy(), scales.numpy(), 0, 2, out)
    assert out[0] == pytest.approx(EightBits(weight).product(x)[0].numpy(), rel=1e-6)
    assert _steps(x[0, :100].numpy(), rows[0, :100])[1]


def test_the_engines_facts_name_the_compiler_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(dtype: torch.dtype) -> dict[str, str]:
        return engine_in(dtype, has_adapters=False).facts

    monkeypatch.setattr(few_rows, "compiler", lambda: "1.2")
    assert facts(torch.float32).get("numba") == ("1.2" if DEVICE == "cpu" else None)
    assert "numba" not in facts(torch.bfloat16)
    monkeypatch.setattr(few_rows, "compiler", lambda: "")
    engine = engine_in(torch.float32, has_adapters=False)
    assert "numba" not in engine.facts and engine.speaker.decoder.few_rows is None
    assert engine.speaker.decoder.steps is not None and steps.fits(engine.model, engine.holder)


@needs_numba
def test_where_nothing_can_be_kept_steps_are_compiled_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from selfedit.engine.generate import compiled

    def njit(cache: bool = False, **how: object) -> object:
        if cache:
            raise RuntimeError("no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    before = compiled.config.CACHE_DIR
    assert compiled._compiled(len) is len and before == compiled.config.CACHE_DIR
