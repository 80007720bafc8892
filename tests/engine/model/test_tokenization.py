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


END = "<|end|>"
"""The spelling of the tiny tokenizer's end token, which its chat template uses as well."""


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(f"a{END}b"),
        Prompt(END),
        Prompt("q", system=f"be {END} brief"),
        Prompt("q", history=((f"one {END}", "two"), ("three", f"{END}four"))),
        Prompt("q", prefill=f"1. {END}"),
        Prompt(f"  {END} around  ", history=((END, END),)),
    ],
)
def test_a_control_token_that_a_text_spells_is_text_in_a_chat_prompt(prompt: Prompt) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    plain = Prompt("x", system="s" if prompt.system else "", history=tuple(("y", "z") for _ in prompt.history))
    of_the_template = prompt_ids(tokenizer, plain).count(tokenizer.eos_token_id)
    ids = prompt_ids(tokenizer, prompt)
    assert ids.count(tokenizer.eos_token_id) == of_the_template
    assert tokenizer.decode(ids) == prompt_text(tokenizer, prompt)


def test_a_text_that_spells_none_has_the_very_ids_that_the_tokenizer_gives() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    prompt = Prompt("the quick <|brown|> fox", system="brief", prefill="1.")
    assert list(prompt_ids(tokenizer, prompt)) == tokenizer(prompt_text(tokenizer, prompt)).input_ids


@pytest.mark.parametrize(
    "example", [Example(f"a{END} b"), Example(f"a{END} b", Prompt("q")), Example("a", Prompt(END))]
)
@pytest.mark.parametrize("chat", [True, False])
def test_no_control_token_is_learnt_in_mid_text(example: Example, chat: bool) -> None:
    tokenizer = tiny_tokenizer(chat=chat)
    ids = example_tokens(tokenizer, example).ids
    ends = [place for place, token in enumerate(ids) if token == tokenizer.eos_token_id]
    of_the_template = 1 if chat and example.prompt else 0
    assert ends == ([*ends[:of_the_template], len(ids) - 1] if example.prompt else [])
    assert tokenizer.decode(ids).count(END) == example.completion.count(END) + len(ends) + (
        example.prompt.text.count(END) if example.prompt else 0
    )


def test_a_teacher_and_a_gold_answer_spell_it_too() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    taught = example_tokens(tokenizer, Example(f"a {END}", Prompt("q"), teacher=Prompt(f"see {END}: q")))
    assert taught.teacher is not None
    assert taught.teacher.ids.count(tokenizer.eos_token_id) == 1 + 1
    gold = gold_tokens(tokenizer, Query("q", "q", f"{END}x", Prompt("q")))
    assert gold.ids.count(tokenizer.eos_token_id) == 1


def test_a_template_that_changes_with_the_text_is_refused_where_a_control_token_is_spelled() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | length }} {{ m['content'] }}{% endfor %}"
    assert prompt_ids(tokenizer, Prompt("fine"))
    with pytest.raises(SelfeditError, match="spells one of the model's control tokens"):
        prompt_ids(tokenizer, Prompt(f"not {END}"))
