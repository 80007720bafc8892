"""Tiny random models of several families, saved to a folder as a user's local model would be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

DEVICE = os.environ.get("SELFEDIT_TEST_DEVICE", "cpu")
"""Where tiny models lie, and with them the engines under test and what they are compared with."""
FAMILIES = ["llama", "qwen2", "gpt2", "mistral", "qwen3", "gemma", "gemma2", "gemma3"]

_TEXT = [
    "Answer the question directly and in a few words. Question: Topic: Answer:",
    "the quick brown fox jumps over the lazy dog while seven red boats cross the river at noon in 1987",
    "Read the passage. Implications: 1. 2. 3. A town on the coast was founded by a widow who sold candles",
]
CHAT = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}<|assistant|>\n"


def tiny_tokenizer(chat: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 tokens."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        _TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=sorted(alphabet))
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def tiny_model(family: str, seed: int = 0, n_layers: int = 2) -> torch.nn.Module:
    """A random model of few layers: weights so large that answers differ, windows and caps so tight that they count."""
    torch.manual_seed(seed)
    shape = {"vocab_size": 400, "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0}
    deep = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": n_layers, "num_attention_heads": 4}
    rotary = {**shape, **deep, "max_position_embeddings": 256}
    gemma = {**rotary, "head_dim": 12, "tie_word_embeddings": False}
    narrow = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * (n_layers // 2)}
    capped = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 6.0}
    configs = {
        "llama": lambda: LlamaConfig(**rotary, num_key_value_heads=2),
        "tied": lambda: LlamaConfig(**rotary, num_key_value_heads=2, tie_word_embeddings=True),
        "qwen2": lambda: Qwen2Config(**rotary, num_key_value_heads=1),
        "gpt2": lambda: GPT2Config(**shape, n_embd=32, n_layer=n_layers, n_head=4, n_positions=256),
        "mistral": lambda: MistralConfig(**rotary, num_key_value_heads=2, sliding_window=8),
        "qwen3": lambda: Qwen3Config(**rotary, num_key_value_heads=2, head_dim=12),
        "gemma": lambda: GemmaConfig(**gemma, num_key_value_heads=1),
        "gemma2": lambda: Gemma2Config(**gemma, **narrow, **capped, num_key_value_heads=2, query_pre_attn_scalar=10),
        "gemma3": lambda: Gemma3TextConfig(**gemma, **narrow, num_key_value_heads=2, query_pre_attn_scalar=10),
    }
    model = AutoModelForCausalLM.from_config(configs[family]()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4.0)
    return model.eval().to(DEVICE)


class Float64Throughout(TorchFunctionMode):
    """What is float64 stays so. transformers rounds norms and softmax to float32 on the way, whatever the model's
    dtype; two correct computations then differ by 1e-7, which would hide small faults."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.float and not args[0].is_floating_point():
            return args[0].double()  # positions, which meet float64 frequencies
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
            is_cast = func is torch.Tensor.to and any(arg is torch.float32 for arg in args[1:])
            if func is torch.Tensor.float or is_cast:
                return args[0]
            if kwargs.get("dtype") is torch.float32:
                kwargs = {**kwargs, "dtype": torch.float64}
        return func(*args, **kwargs)


def save_tiny(folder: Path, family: str, chat: bool = False) -> Path:
    """A folder that `--model` takes."""
    tiny_model(family).float().save_pretrained(folder)
    tiny_tokenizer(chat).save_pretrained(folder)
    return folder
