"""L1. Prompts, examples and questions become token ids, for chat models and for base models alike."""

from __future__ import annotations

from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from selfedit.engine.packing import Tokens
from selfedit.records import Ask, Example, Prompt


def prompt_text(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The prompt as the model reads it: through the chat template where there is one, plain otherwise."""
    if is_chat(tokenizer, prompt):
        turn = [{"role": "user", "content": prompt.text}]
        text = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        return str(text) + prompt.opening
    return prompt.text + ("\n" + prompt.opening if prompt.opening else "")


def is_chat(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> bool:
    """Whether the prompt goes through the chat template."""
    return bool(tokenizer.chat_template) and not prompt.plain


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    """The prompt's token ids. A chat template brings its own special tokens."""
    return _ids(tokenizer, prompt, prompt_text(tokenizer, prompt))


def example_tokens(tokenizer: PreTrainedTokenizerBase, example: Example) -> Tokens:
    """A training sequence. A bare text carries loss from its second token on; a completion carries it whole and is
    followed by the end token, so that the model learns to stop."""
    if example.prompt is None:
        tokens = Tokens(tuple(tokenizer(example.completion).input_ids), 1)
    else:
        prefix = prompt_ids(tokenizer, example.prompt)
        completion = _completion_ids(tokenizer, example.prompt, example.completion)
        tokens = Tokens((*prefix, *completion, tokenizer.eos_token_id), len(prefix))
    return tokens if example.teacher is None else replace(tokens, teacher=_teacher_tokens(tokenizer, example, tokens))


def _teacher_tokens(tokenizer: PreTrainedTokenizerBase, example: Example, student: Tokens) -> Tokens:
    """The teacher's prompt before the very tokens of the student's completion, so that they are about the same places.

    A bare text's first token is context for the teacher too, unless it is the token that begins every text: that one
    the teacher's prompt has already. A completion that begins without a space follows on white space.
    """
    assert example.teacher is not None
    text = prompt_text(tokenizer, example.teacher)
    completion, glue = student.ids, ""
    if example.prompt is not None:
        completion, glue = student.ids[student.loss_from :], _glue(tokenizer, example.prompt)
    elif student.ids[:1] == (tokenizer.bos_token_id,):
        completion = student.ids[1:]
    if text and not glue and not text[-1].isspace():
        text += "\n"
    ids = (*_ids(tokenizer, example.teacher, text), *completion)
    return Tokens(ids, len(ids) - student.loss_count)


def gold_tokens(tokenizer: PreTrainedTokenizerBase, ask: Ask) -> Tokens:
    """A question followed by its gold answer, which alone carries loss."""
    prefix = prompt_ids(tokenizer, ask.prompt)
    return Tokens((*prefix, *_completion_ids(tokenizer, ask.prompt, ask.gold)), len(prefix))


def _ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=not is_chat(tokenizer, prompt)).input_ids)


def _completion_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, completion: str) -> list[int]:
    return list(tokenizer(_glue(tokenizer, prompt) + completion, add_special_tokens=False).input_ids)


def _glue(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """What stands between a prompt and its completion."""
    return "" if prompt_text(tokenizer, prompt)[-1:].isspace() else " "
