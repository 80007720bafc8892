"""L1. Prompts, examples and questions become token ids, for chat models and for base models alike."""

from __future__ import annotations

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
    text = prompt_text(tokenizer, prompt)
    return tuple(tokenizer(text, add_special_tokens=not is_chat(tokenizer, prompt)).input_ids)


def example_tokens(tokenizer: PreTrainedTokenizerBase, example: Example) -> Tokens:
    """A training sequence. A bare text carries loss from its second token on; a completion carries it whole and is
    followed by the end token, so that the model learns to stop."""
    if example.prompt is None:
        return Tokens(tuple(tokenizer(example.completion).input_ids), 1)
    prefix = prompt_ids(tokenizer, example.prompt)
    completion = _completion_ids(tokenizer, example.prompt, example.completion)
    return Tokens((*prefix, *completion, tokenizer.eos_token_id), len(prefix))


def gold_tokens(tokenizer: PreTrainedTokenizerBase, ask: Ask) -> Tokens:
    """A question followed by its gold answer, which alone carries loss."""
    prefix = prompt_ids(tokenizer, ask.prompt)
    return Tokens((*prefix, *_completion_ids(tokenizer, ask.prompt, ask.gold)), len(prefix))


def _completion_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, completion: str) -> list[int]:
    glue = "" if prompt_text(tokenizer, prompt)[-1:].isspace() else " "
    return list(tokenizer(glue + completion, add_special_tokens=False).input_ids)
