"""L1. Prompts, examples and questions become token ids, for chat models and for base models alike."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

from transformers import PreTrainedTokenizerBase

from selfedit.engine.forward.packing import Tokens
from selfedit.engine.model.control_tokens import Span, has_control, template_ids, text_ids
from selfedit.errors import SelfeditError, UnfitText
from selfedit.records import Example, Prompt, Query
from selfedit.shortage import is_out_of_memory
from selfedit.thinking import closing_mark

NO_THINKING: dict[str, Any] = {"enable_thinking": False, "thinking": False}
"""What templates of models that reason are told, by the two names in use; others pass over it."""

Turn = dict[str, str]
"""A message as chat templates take it: its `role` and `content`."""


def prompt_text(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The prompt as the model reads it: through the chat template where there is one, plain otherwise. Thinking is off:
    where the template knows no such setting and opens thoughts, they are closed at once. The gold answer's likelihood
    would otherwise be that of a thought, and a short answer would end before it begins.

    Raises:
        UnfitText: the template drops a part of it, or fails on it.
    """
    if is_chat(tokenizer, prompt):
        return _without_thinking(_rendered(tokenizer, prompt)[1]) + prompt.prefill
    return "".join(request + reply for request, reply in _plain_turns(prompt))


def _rendered(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[list[Turn], str]:
    """(the turns, what the chat template makes of them). Where it takes no system role, or drops it, the system text
    goes before the first request; nothing else may get lost."""
    turns: list[Turn] = []
    for request, reply in prompt.history:
        turns += [{"role": "user", "content": request}, {"role": "assistant", "content": reply}]
    turns.append({"role": "user", "content": prompt.text})
    if prompt.system:
        whole = [{"role": "system", "content": prompt.system}, *turns]
        with suppress(UnfitText):
            if not _lost(whole, text := _applied(tokenizer, whole)):
                return whole, text
        turns[0] = {"role": "user", "content": f"{prompt.system}\n\n{turns[0]['content']}"}
    text = _applied(tokenizer, turns)
    if lost := _lost(turns, text):
        raise UnfitText(f"the model's chat template drops a part of the prompt ({lost[0][:60]!r})")
    return turns, text


def _without_thinking(text: str) -> str:
    """The rendered text with the thoughts closed that its template has opened."""
    closes = closing_mark(text)
    return f"{text.rstrip()}\n\n{closes}\n\n" if closes else text


def _applied(tokenizer: PreTrainedTokenizerBase, turns: list[Turn]) -> str:
    """Raises UnfitText: whatever a template makes of these turns, as one line."""
    try:
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **NO_THINKING))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnfitText(f"the model's chat template cannot take the prompt ({reason})") from error


def _contents(tokenizer: PreTrainedTokenizerBase, turns: list[Turn], text: str) -> list[Span]:
    """Where in a rendered text the turns' contents lie, as the template's own words around stand-ins for them tell.

    Raises:
        UnfitText: the template's words depend on what is put in.
    """
    stand_ins = [f"\ue000{place}\ue001" for place in range(len(turns))]
    frame = _applied(tokenizer, [{**turn, "content": one} for turn, one in zip(turns, stand_ins, strict=True)])
    spans, at = [], 0
    for one, turn in zip(stand_ins, turns, strict=True):
        before, _, frame = frame.partition(one)
        content = turn["content"] if text.startswith(before + turn["content"], at) else turn["content"].strip()
        spans.append((at + len(before), at + len(before) + len(content)))
        if not text.startswith(before + content, at):
            break
        at = spans[-1][1]
    else:
        if text[at:] == frame:
            return spans
    raise UnfitText("a text spells one of the model's control tokens, and its chat template changes with the text")


def _lost(turns: list[Turn], text: str) -> list[str]:
    """What was put in and is not found in what came out; a template may take white space from the ends."""
    return [turn["content"] for turn in turns if turn["content"].strip() not in text]


def is_chat(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> bool:
    """Whether the prompt goes through the chat template."""
    return bool(tokenizer.chat_template) and not prompt.raw


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    """The prompt's token ids. A chat template brings its own special tokens."""
    if not prompt.history and not prompt.char_tokens:
        return _ids(tokenizer, prompt)
    return _turn_ids(tokenizer, prompt)[0]


def example_tokens(tokenizer: PreTrainedTokenizerBase, example: Example) -> Tokens:
    """A training sequence. A bare text carries loss from its second token on; a completion carries it whole and is
    followed by the end token, so that the model learns to stop.

    Raises:
        SelfeditError: what is to be learnt cannot be told apart in such a prompt.
    """
    if example.prompt is None:
        tokens = text_tokens(tokenizer, example.completion)
    else:
        prefix = prompt_ids(tokenizer, example.prompt)
        completion = _completion_ids(tokenizer, example.prompt, example.completion)
        tokens = _learnt(tokenizer, example, Tokens((*prefix, *completion, tokenizer.eos_token_id), len(prefix)))
    tokens = replace(tokens, in_epoch=example.in_epoch)
    if example.teacher is None:
        return tokens
    return replace(tokens, teacher=_teacher_tokens(tokenizer, example, tokens), is_anchored=example.is_anchored)


def text_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> Tokens:
    """A bare text, with loss from its second token on."""
    return Tokens(tuple(text_ids(tokenizer, text, is_begun=False)), 1)


def _learnt(tokenizer: PreTrainedTokenizerBase, example: Example, tokens: Tokens) -> Tokens:
    """With loss where the example wants it."""
    assert example.prompt is not None
    if example.loss_on == "completion":
        return tokens
    if example.teacher is not None:
        raise SelfeditError(f"an example with a teacher learns its completion, not {example.loss_on}")
    if example.loss_on == "all":
        return replace(tokens, loss_from=1)
    if is_chat(tokenizer, example.prompt):
        raise SelfeditError("'later replies' are learnt in plain prompts, not through a chat template")
    spans = [*_turn_ids(tokenizer, example.prompt)[1][1:], (tokens.loss_from, len(tokens.ids))]
    gaps = tuple((stop, start) for (_, stop), (start, _) in pairwise(spans))
    return replace(tokens, loss_from=spans[0][0], gaps=gaps)


def _turn_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """(the prompt's ids, the place [start, stop) of each earlier reply with its end token) of a prompt of several
    turns, whose parts are tokenised apart; a chat's places are not known."""
    if is_chat(tokenizer, prompt):
        if prompt.char_tokens:
            raise SelfeditError("a prompt that is spelled does not go through a chat template; make it plain")
        return _ids(tokenizer, prompt), []
    ids: list[int] = list(tokenizer("").input_ids)
    spans = []
    for request, reply in _plain_turns(prompt):
        ids += _part_ids(tokenizer, prompt, request)
        if reply:
            start = len(ids)
            ids += [*_part_ids(tokenizer, prompt, reply), tokenizer.eos_token_id]
            spans.append((start, len(ids)))
    return tuple(ids), spans


def _plain_turns(prompt: Prompt) -> list[tuple[str, str]]:
    """The requests and replies of a plain prompt as they stand one after another, the last without a reply."""
    turns = [(request, _glue_behind(prompt, request) + reply) for request, reply in prompt.history]
    turns.append((prompt.text + ("\n" + prompt.prefill if prompt.prefill else ""), ""))
    first = prompt.system + "\n" if prompt.system else ""
    return [(first + turns[0][0], turns[0][1]), *turns[1:]]


def _part_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> list[int]:
    """A part of a sequence that goes on: without the token that begins every text."""
    if not prompt.char_tokens:
        return text_ids(tokenizer, text, is_begun=True)
    letters = {letter: text_ids(tokenizer, letter, is_begun=True) for letter in dict.fromkeys(text)}
    if lacking := [letter for letter, ids in letters.items() if len(ids) != 1]:
        raise SelfeditError(f"{lacking[0]!r} is no single token of this model's tokenizer, so texts cannot be spelled")
    return [letters[letter][0] for letter in text]


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
    end = "\n" if text and not glue and not text[-1].isspace() else ""
    ids = (*_ids(tokenizer, example.teacher, end), *completion)
    return Tokens(ids, len(ids) - student.loss_count)


def gold_tokens(tokenizer: PreTrainedTokenizerBase, ask: Query) -> Tokens:
    """A question followed by its gold answer, which alone carries loss; where it is spelled, with the end token, since
    the beginning of a longer answer is another answer."""
    prefix = prompt_ids(tokenizer, ask.prompt)
    end = [tokenizer.eos_token_id] if ask.prompt.char_tokens else []
    return Tokens((*prefix, *_completion_ids(tokenizer, ask.prompt, ask.gold), *end), len(prefix))


def _ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, end: str = "") -> tuple[int, ...]:
    """The ids of the prompt and what follows it at its end."""
    if not is_chat(tokenizer, prompt):
        return tuple(text_ids(tokenizer, prompt_text(tokenizer, prompt) + end, is_begun=False))
    turns, rendered = _rendered(tokenizer, prompt)
    text, last = _without_thinking(rendered), prompt.prefill + end
    spans = [(len(text), len(text) + len(last))]
    if any(has_control(tokenizer, turn["content"]) for turn in turns):
        spans += _contents(tokenizer, turns, rendered)
    return tuple(template_ids(tokenizer, text + last, spans))


def _completion_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, completion: str) -> list[int]:
    return _part_ids(tokenizer, prompt, _glue(tokenizer, prompt) + completion)


def _glue(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """What stands between a prompt and its completion."""
    return _glue_behind(prompt, prompt_text(tokenizer, prompt))


def _glue_behind(prompt: Prompt, text: str) -> str:
    return "" if prompt.char_tokens or text[-1:].isspace() else " "
