"""Prompts of several turns, spelled texts, and what of them carries loss."""

from __future__ import annotations

import pytest

from selfedit.engine.forward.packing import Tokens, pack
from selfedit.engine.model.tokenization import example_tokens, gold_tokens, prompt_ids, prompt_text
from selfedit.errors import SelfeditError
from selfedit.records import Example, Prompt, Query, digest
from tests.support.tiny import tiny_tokenizer

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.model

TURNS = (("12\n=", "21"), ("34\n=", "43"), ("56\n=", "65"))
SPELLED = Prompt("78\n=", raw=True, history=TURNS, char_tokens=True)


@pytest.mark.parametrize(
    ("ending", "begins"),
    [
        ("<|assistant|>", "<|assistant|>So:"),
        ("<|assistant|>\n<think>\n", "<|assistant|>\n<think>\n\n</think>\n\nSo:"),
        ("{% if enable_thinking is false %}off{% else %}<think>{% endif %}", "offSo:"),
        ("{% if thinking is false %}off{% else %}<think>{% endif %}", "offSo:"),
    ],
)
def test_thinking_is_off_by_the_template_or_closed_at_once(ending: str, begins: str) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}<|end|>\n{% endfor %}" + ending
    assert prompt_text(tokenizer, Prompt("Read <think> here.", "So:")) == f"Read <think> here.<|end|>\n{begins}"


def learnt(tokens: Tokens) -> str:
    """What carries loss, as text."""
    return str(tiny_tokenizer(chat=False).decode([tokens.ids[place] for place in tokens.loss_places]))


def test_a_spelled_text_has_a_token_for_every_character_and_an_end_behind_every_reply() -> None:
    tokenizer = tiny_tokenizer(chat=False)
    ids = prompt_ids(tokenizer, SPELLED)
    text = "".join(request + reply for request, reply in TURNS) + SPELLED.text
    assert len(ids) == len(text) + len(TURNS)
    assert tokenizer.decode(ids) == "12\n=21<|end|>34\n=43<|end|>56\n=65<|end|>78\n="
    assert prompt_text(tokenizer, SPELLED) == text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("completion", "87<|end|>"),
        ("later replies", "43<|end|>65<|end|>87<|end|>"),
        ("all", "2\n=21<|end|>34\n=43<|end|>56\n=65<|end|>78\n=87<|end|>"),
    ],
)
def test_loss_falls_on_the_completion_on_every_reply_but_the_first_or_on_all(wanted: str, text: str) -> None:
    example = Example("87", SPELLED, loss_on=wanted)  # type: ignore[arg-type]
    tokens = example_tokens(tiny_tokenizer(chat=False), example)
    assert learnt(tokens) == text
    assert tokens.loss_count == len(list(tokens.loss_places))


def test_a_pack_predicts_exactly_the_tokens_that_carry_loss() -> None:
    tokens = Tokens((5, 6, 7, 8, 9, 10, 11), 2, gaps=((3, 5), (6, 7)))
    packed = pack([Tokens((1, 2, 3), 1), tokens], [0, 0], torch.device("cpu"))
    assert packed.targets.tolist() == [2, 3, 7, 10]
    assert packed.loss_positions.tolist() == [0, 1, 3 + 1, 3 + 4]
    assert packed.loss_counts == (2, 2)


def test_without_earlier_replies_the_later_ones_are_the_completion() -> None:
    prompt = Prompt("78\n=", raw=True, char_tokens=True)
    one, other = (
        example_tokens(tiny_tokenizer(chat=False), Example("87", prompt, loss_on=what))  # type: ignore[arg-type]
        for what in ("later replies", "completion")
    )
    assert one == other


def test_a_chat_has_its_system_message_and_earlier_turns_in_the_template() -> None:
    prompt = Prompt("third", system="be brief", history=(("first", "second"),))
    assert prompt_text(tiny_tokenizer(chat=True), prompt) == (
        "<|system|>\nbe brief<|end|>\n<|user|>\nfirst<|end|>\n<|assistant|>\nsecond<|end|>\n"
        "<|user|>\nthird<|end|>\n<|assistant|>"
    )


def test_a_plain_prompt_has_them_as_text_with_the_end_token_behind_replies() -> None:
    prompt = Prompt("third:", raw=True, system="be brief", history=(("first:", "second"),))
    tokenizer = tiny_tokenizer(chat=True)
    assert tokenizer.decode(prompt_ids(tokenizer, prompt)) == "be brief\nfirst: second<|end|>third:"


def test_a_spelled_gold_answer_includes_its_end() -> None:
    tokens = gold_tokens(tiny_tokenizer(chat=False), Query("q", "", "87", SPELLED))
    assert learnt(tokens) == "87<|end|>"


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (Example("1", Prompt("é", raw=True, char_tokens=True)), "'é' is no single token"),
        (Example("1", Prompt("1", char_tokens=True)), "does not go through a chat template"),
        (Example("1", Prompt("1", history=TURNS), loss_on="later replies"), "not through a chat template"),
        (Example("1", SPELLED, loss_on="all", teacher=Prompt("1")), "learns its completion, not all"),
    ],
)
def test_what_cannot_be_rendered_so_is_refused_in_one_line(example: Example, said: str) -> None:
    with pytest.raises(SelfeditError, match=said):
        example_tokens(tiny_tokenizer(chat=True), example)


def test_prompts_and_examples_without_the_new_fields_keep_their_keys() -> None:
    assert digest(Prompt("x")) == digest({"text": "x", "opening": "", "plain": False, "json_schema": ""})
    assert digest(Example("x")) == digest({"completion": "x", "prompt": None})
