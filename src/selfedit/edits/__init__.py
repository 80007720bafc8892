"""L1. How a self-edit is asked for and read."""

from selfedit.edits.files import read_edit_files
from selfedit.edits.prompts import PROMPTS, EditPrompt, ask_for_edit, load_prompt, read_edit

__all__ = ["PROMPTS", "EditPrompt", "ask_for_edit", "load_prompt", "read_edit", "read_edit_files"]
