"""L1. How a self-edit is asked for and read."""

from selfedit.edits.files import for_contexts, read_edit_files
from selfedit.edits.parsing import read_edit, read_items
from selfedit.edits.plans import StudyPlan, as_question, draw_plan, read_plan
from selfedit.edits.prompts import PROMPTS, EditPrompt, SecondStep, ask_for_edit, chooses_training, load_prompt
from selfedit.edits.remote import EndpointWriter
from selfedit.edits.sentences import split_sentences
from selfedit.edits.two_step import ask_follow_ups

__all__ = [
    "PROMPTS",
    "EditPrompt",
    "EndpointWriter",
    "SecondStep",
    "StudyPlan",
    "as_question",
    "ask_follow_ups",
    "ask_for_edit",
    "chooses_training",
    "draw_plan",
    "for_contexts",
    "load_prompt",
    "read_edit",
    "read_edit_files",
    "read_items",
    "read_plan",
    "split_sentences",
]
