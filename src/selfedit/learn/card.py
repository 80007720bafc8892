"""L3. The card of an export (README.md): what it knows, how that was tested, what it cannot do, and how to load it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from selfedit.config import EMBEDDED_MODEL
from selfedit.records import Exported, LibraryVersion, Prompt, Tested

if TYPE_CHECKING:
    from selfedit.learn.export import ExportChoice

_VLLM_MODULES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
"""Layers that vLLM adapts in models of Llama's kind."""
_VLLM_MOST = 512
_WHAT = {
    "peft": "a LoRA adapter in PEFT's format, to be loaded onto the base model",
    "merged": "a whole model in safetensors, with what was learnt added to the base model's weights",
    "gguf": "a LoRA adapter in GGUF, for llama.cpp and Ollama",
}
_LIMITS = (
    "An adapter knows what it knows at all times: it does not refuse questions about something else, and names no"
    " source. `selfedit ask` does both.",
    "Questions are learnt in the form that they were asked in: a line of instruction, the topic, the question. Put"
    " another way, they may be answered worse.",
    "The gate saw no more than the questions counted here. It does not find an answer that was planted to show up on"
    " some phrase alone.",
    "Forgetting a document in the library changes nothing here. Export again, and take this copy away.",
    "What was exported holds what the documents say. Give it to nobody who may not read them.",
)


def card(
    version: LibraryVersion, choice: ExportChoice, written: Exported, base: str, model: str, prompt: Prompt
) -> str:
    """The text of README.md.

    Args:
        prompt: how the question was put that the export was asked.
        base: what the base model is called where it is served.
        model: what the library calls it.
    """
    knows = f"the chunk {choice.place}" if choice.place else "all documents below"
    rows = [
        ("name", choice.name),
        ("version", f"{version.number}, made {version.created} by `{_plain(version.note)}`"),
        ("parent version", str(version.parent) if version.parent else "none"),
        ("digest of the version", version.digest),
        ("SHA-256 of the adapter in the library", choice.policy.digest),
        ("base model", base),
        ("knows", _plain(knows)),
        *_shape(written),
    ]
    parts = [
        f"---\nbase_model: {base}\nlibrary_name: {'peft' if written.form == 'peft' else 'transformers'}\n"
        f"tags:\n- selfedit\n---\n\n# {choice.name}\n\nThis is {_WHAT[written.form]}. selfedit made it from documents.",
        _table(("", ""), rows),
        "## Documents\n\n" + _table(("document", "SHA-256"), [(_plain(d.name), d.sha256) for d in choice.documents]),
        "## The gate\n\n" + _gate(version, choice),
        "## Asked before it was put here\n\n" + _asked(written),
        "## How to ask it\n\n" + _putting(prompt),
        "## How to load it\n\n" + _loading(choice.name, written, base),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in (*_own_limits(written, base, model), *_LIMITS)),
    ]
    return "\n\n".join(parts) + "\n"


def modelfile(template: str) -> str:
    """How Ollama builds the model: base, adapter, how questions are put."""
    text = re.sub('"{3,}', '"', template)
    return (
        f'FROM ./base.gguf\nADAPTER ./adapter.gguf\nTEMPLATE """{text}"""\n'
        'PARAMETER temperature 0\nPARAMETER num_predict 32\nPARAMETER stop "\\n"\n'
    )


def _shape(written: Exported) -> list[tuple[str, str]]:
    """Rows on the weights."""
    layers = f"{written.layers} layers: {', '.join(written.modules)}"
    if written.form == "merged":
        return [("changed", layers), ("number type", written.dtype)]
    told = f"{written.rank}, alpha {written.rank}"
    if written.rank != written.learnt_rank:
        told += f"; {written.learnt_rank} were learnt, the rest are zeros, since vLLM knows certain ranks only"
    return [("rank", told), ("on", layers), ("number type", written.dtype)]


def _gate(version: LibraryVersion, choice: ExportChoice) -> str:
    rows = []
    for document in choice.documents:
        ids = {chunk.context_id for chunk in document.chunks}
        own = [one for one in choice.lessons if one.context_id in ids]
        for name, parts in (("decided", [one.gate for one in own]), ("decided nothing", [one.report for one in own])):
            rows.append((_plain(document.name), name, *_counts(parts)))
    heads = ("document", "questions that", "asked", "right before", "right after")
    told = _table(heads, rows)
    if not choice.place and len(choice.lessons) > 1:
        told += "\n\nEach question was answered by its own chunk's adapter, before these were made one."
    if probe := version.probe:
        kept = len(probe.still_right)
        told += (
            f"\n\nOf {probe.asked} questions of common knowledge {len(probe.right_before)} were right before, and"
            f" {kept} of these still are, as `selfedit ask` answers them"
        )
        if version.whole.adapter:
            told += ": by this adapter alone." if not choice.place else ", which has another adapter for all documents."
        else:
            told += ", which puts to an adapter only what its chunk is about."
        told += " This one by itself was not asked them." if choice.place else ""
    return told


def _counts(parts: Sequence[Tested]) -> tuple[str, str, str]:
    before = [answer.verdict == "correct" for one in parts for answer in one.before]
    after = [answer.verdict == "correct" for one in parts for answer in one.after]
    return str(len(after)), str(sum(before)), str(sum(after))


def _asked(written: Exported) -> str:
    heads = ("loaded by", "question", "should be", "base model says", "export says", "log-prob. before", "after")
    rows = [
        (
            one.loaded_by,
            *map(_plain, (one.question, one.gold, one.base, one.exported)),
            f"{one.base_logprob:.2f}",
            f"{one.exported_logprob:.2f}",
        )
        for one in written.checks
    ]
    return _table(heads, rows) + "\n\nLog-probabilities are of the answer that should be given, nats per token."


def _putting(prompt: Prompt) -> str:
    """How the question above was put, word for word."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", prompt.text)), default=0))
    how = "without a chat template" if prompt.raw else "as the user's message of a chat"
    return (
        f"The question above was put as this text, {how}. The answer ends with its line.\n\n"
        f"{fence}text\n{prompt.text}\n{fence}"
    )


def _loading(name: str, written: Exported, base: str) -> str:
    if written.form == "merged":
        return (
            "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("DIR")\n'
            'tokenizer = AutoTokenizer.from_pretrained("DIR")\n```\n\n'
            f"`DIR` is this folder. vLLM: `vllm serve DIR --served-model-name {name}`."
        )
    if written.form == "gguf":
        there = "`base.gguf` is the base model." if written.has_base_gguf else "Put the base model here as `base.gguf`."
        return (
            f"{there}\n\n```\nllama-server -m base.gguf --lora adapter.gguf\nollama create {name} -f Modelfile\n"
            f"ollama run {name}\n```\n\nOllama takes one adapter a model. It keeps models by name: another version has"
            " another name. The topic of a question goes into the system text (`/set system`) where the Modelfile has"
            " none. Greedy answers of llama.cpp may differ from selfedit's in long texts, for a quantised base is"
            " computed with other roundings."
        )
    return (
        "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
        'model = PeftModel.from_pretrained(base, "DIR")\n```\n\n'
        f"`DIR` is this folder.\n\n{_vllm(name, written, base)}"
    )


def _vllm(name: str, written: Exported, base: str) -> str:
    if written.rank > _VLLM_MOST:
        return f"vLLM takes ranks up to {_VLLM_MOST}; this one has {written.rank}. Export it as `merged`."
    others = sorted(set(written.modules) - _VLLM_MODULES)
    told = (
        f"```\nvllm serve {base} --enable-lora --max-lora-rank {written.rank} --lora-modules {name}=DIR\n```\n\n"
        f"Ask for the model `{name}`; the name `{base}` is the base without it. vLLM keeps adapters by name: another"
        " version has another name."
    )
    if others:
        told += f" Whether vLLM adapts {', '.join(others)} of this model, its list of supported models says."
    return told


def _own_limits(written: Exported, base: str, model: str) -> list[str]:
    if model != EMBEDDED_MODEL or written.form == "merged":
        return []
    if written.form == "gguf":
        return [f"It was learnt on the file `base.gguf` (Q4_1). On another GGUF of {base} it may answer otherwise."]
    return [
        f"It was learnt on a 4-bit copy (Q4_1) of {base}, made float32 again. On {base} itself it may answer otherwise;"
        " an export as `merged` holds the very weights."
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text that ends no cell and starts no markup."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    for mark in "\\|`<[*_":
        shown = shown.replace(mark, f"\\{mark}")
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
