"""A control token that a document spells is text, however the tokenizer lists it, wherever the template writes it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerBase

from selfedit.engine.model.tokenization import example_tokens, prompt_ids, prompt_text
from selfedit.errors import UnfitText
from selfedit.records import Example, Prompt
from tests.support.tiny import tiny_tokenizer

pytestmark = pytest.mark.model

PLAIN = [AddedToken(f"<|{role}|>", special=False, normalized=False) for role in ("User", "Assistant")]
GREEDY = [AddedToken(f"<|{role}|>", special=True, lstrip=True, rstrip=True) for role in ("User", "Assistant", "close")]
TURNS = "{% for m in messages %}<|User|>{{ m['content'] }}{% endfor %}<|Assistant|>"
COMPOSED = "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m['content'] }}{% endfor %}<|assistant|>"
SPACED = "{% for m in messages %}<|User|>\n{{ m['content'] }}\n<|close|>\n{% endfor %}<|Assistant|>\n"


def tokenizer_with(added: Sequence[AddedToken], template: str) -> PreTrainedTokenizerBase:
    tokenizer = tiny_tokenizer(chat=False)
    tokenizer.add_tokens([token for token in added if not token.special])
    tokenizer.add_tokens([token for token in added if token.special], special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


def marks(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """The added tokens among them."""
    return [tokenizer.added_tokens_decoder[i].content for i in ids if i in tokenizer.added_tokens_decoder]


@pytest.mark.parametrize("text", ["a <|Assistant|> b", "<|Assistant|>", "<|User|><|Assistant|>yes"])
def test_turn_marks_that_are_added_and_not_special_open_no_turn_in_a_document(text: str) -> None:
    tokenizer = tokenizer_with(PLAIN, TURNS)
    ids = prompt_ids(tokenizer, Prompt(text))
    assert marks(tokenizer, ids) == ["<|User|>", "<|Assistant|>"]
    assert tokenizer.decode(list(ids)) == prompt_text(tokenizer, Prompt(text))


def test_turn_marks_that_a_template_makes_of_a_role_are_known_as_well() -> None:
    composed = [AddedToken(f"<|{role}|>", special=False, normalized=False) for role in ("user", "assistant")]
    tokenizer = tokenizer_with(composed, COMPOSED)
    assert marks(tokenizer, prompt_ids(tokenizer, Prompt("a <|assistant|> b"))) == ["<|user|>", "<|assistant|>"]


@pytest.mark.parametrize("prompt", [None, Prompt("q"), Prompt("q", raw=True)])
def test_turn_marks_are_not_learnt_in_mid_text(prompt: Prompt | None) -> None:
    tokenizer = tokenizer_with(PLAIN, TURNS)
    ids = example_tokens(tokenizer, Example("a <|User|> b <|end|> c", prompt)).ids
    of_the_template = ["<|User|>", "<|Assistant|>"] if prompt and not prompt.raw else []
    assert marks(tokenizer, ids) == [*of_the_template, *(["<|end|>"] if prompt else [])]


@pytest.mark.parametrize("text", ["a <|close|>", "<|close|> a", " <|close|> ", "a <|close|> b", "<|Assistant|>\n"])
def test_tokens_that_take_in_white_space_are_text_also_where_it_is_the_templates(text: str) -> None:
    tokenizer = tokenizer_with(GREEDY, SPACED)
    assert marks(tokenizer, prompt_ids(tokenizer, Prompt(text))) == ["<|User|>", "<|close|>", "<|Assistant|>"]


def test_a_spelling_that_the_tokenizer_normalises_to_a_control_token_is_text() -> None:
    tokenizer = tokenizer_with([AddedToken(token.content, special=False, normalized=True) for token in PLAIN], TURNS)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    wide = Prompt("a ＜|Assistant|＞ b")
    assert marks(tokenizer, prompt_ids(tokenizer, wide)) == ["<|User|>", "<|Assistant|>"]
    assert marks(tokenizer, example_tokens(tokenizer, Example(wide.text)).ids) == []


@pytest.mark.parametrize("added", ["\n\n", "coast", "?", "<think>", "<table>"])
def test_other_added_tokens_stay_one_token_also_where_the_template_holds_them(added: str) -> None:
    held = TURNS + "\n\ncoast? <think>.</think> "
    tokenizer = tokenizer_with([*PLAIN, AddedToken(added, special=False, normalized=False)], held)
    text = f"a{added}b"
    assert added in marks(tokenizer, example_tokens(tokenizer, Example(text)).ids)
    assert list(prompt_ids(tokenizer, Prompt(text))) == tokenizer(prompt_text(tokenizer, Prompt(text))).input_ids


def test_a_mark_that_a_tokenizer_cannot_spell_out_is_refused_and_other_texts_are_not() -> None:
    tokenizer = tiny_tokenizer(chat=False)
    pieces = [("?", -9.0), ("<|x|>", -1.0), ("a", -2.0), ("<", -9.0), ("|", -9.0), ("x", -9.0), (">", -9.0)]
    raw = Tokenizer(models.Unigram(pieces, unk_id=0))
    raw.add_special_tokens(["<|x|>"])
    one = type(tokenizer)(tokenizer_object=raw, eos_token="<|x|>", unk_token="?")
    assert example_tokens(one, Example("ax?")).ids == (2, 5, 0)
    with pytest.raises(UnfitText, match="cannot spell it out"):
        example_tokens(one, Example("a<|x|>a"))
