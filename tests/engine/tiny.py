"""Tiny random models of several families, saved to a folder as a user's local model would be."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

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


def tiny_model(family: str, seed: int = 0) -> torch.nn.Module:
    """A random model with two or three layers; weights large enough for answers to differ."""
    torch.manual_seed(seed)
    shape = {"vocab_size": 400, "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0}
    deep = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    configs = {
        "llama": lambda: LlamaConfig(**shape, **deep, num_key_value_heads=2, max_position_embeddings=256),
        "qwen2": lambda: Qwen2Config(**shape, **deep, num_key_value_heads=1, max_position_embeddings=256),
        "gpt2": lambda: GPT2Config(**shape, n_embd=32, n_layer=2, n_head=4, n_positions=256),
    }
    model = AutoModelForCausalLM.from_config(configs[family]()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4.0)
    return model.eval()


def save_tiny(folder: Path, family: str, chat: bool = False) -> Path:
    """A folder that `--model` takes."""
    tiny_model(family).float().save_pretrained(folder)
    tiny_tokenizer(chat).save_pretrained(folder)
    return folder
