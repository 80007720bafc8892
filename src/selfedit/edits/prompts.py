"""L1. The prompts that ask for a self-edit, as data.

The prompts have the intents of the paper's (SEAL §4.2 and appendix B): implications in three lengths, rewritings,
questions with answers, implications after a chain of thought, and no instruction at all. Two more are the synthetic
data of others, written in two steps: EntiGraph (Yang et al. 2024, the paper's baseline) and Active Reading (Lin et al.
2025), and one, `study-plan`, is ours: its self-edits choose how they are studied. Which one is used matters as much as
the training, so they are chosen by name.

Departures from the papers:
1. Wording: short, with the passage marked, and the reply begun for the model, so that a small chat model follows
   it and a base model carries on from it.
2. Two steps are few requests, drawn by seed, instead of every pair and many triples of entities, or every strategy: a
   self-edit is written for one passage and tried at once, and must not cost more than the trial.
3. EntiGraph's second step asks for one paragraph on how entities relate; the first asks for their names alone, without
   the summary and the descriptions of the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.edits.plans import plan_grammar
from selfedit.errors import SelfeditError
from selfedit.records import Prompt

PieceKind = Literal["lines", "sections", "pairs", "paragraphs", "plan"]
"""What one piece of a reply is: a line; a version of the text; a question with its answer; a paragraph of one of
several replies; an own line of a study plan."""
ItemKind = Literal["name", "line"]
"""What one item of a first reply is: a name, without what is said about it; a line."""


@dataclass(frozen=True, slots=True)
class SecondStep:
    """What is asked about the items of a first reply: one request for each combination that is drawn."""

    instruction: str
    """The request, with places for {title}, {passage} and {items}."""
    prefill: str
    """How each reply begins, with a place for {items}; no part of what the model writes."""
    asked: tuple[tuple[int, int], ...]
    """(items in a request, such requests at most), e.g. four pairs and two triples."""
    noun: str
    """What the items are called, in the plural."""
    kind: ItemKind
    """How the first reply is cut into items."""

    @property
    def least(self) -> int:
        """Items without which nothing can be asked."""
        return min(size for size, _ in self.asked)


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """One way of asking for a self-edit."""

    name: str
    """As chosen on the command line."""
    instruction: str
    """The request, with places for {title} and {passage}."""
    prefill: str
    """How the reply begins; given to the model, and no part of what it writes."""
    kind: PieceKind
    """How the finished self-edit is cut into pieces."""
    raw: bool = False
    """True: never through the chat template, for there is no request to be answered."""
    marker: str = ""
    """A line that begins with this ends the reasoning; only what follows it is trained on. Empty: all of it is."""
    second: SecondStep | None = None
    """What is asked next, where the reply is not yet the self-edit."""

    @property
    def chooses_training(self) -> bool:
        """Whether its self-edits choose how they are studied."""
        return self.kind == "plan"

    @property
    def replies(self) -> int:
        """Replies that a self-edit consists of, at most."""
        return sum(most for _, most in self.second.asked) if self.second else 1


_PASSAGE = "\n\nTitle: {title}\nPassage:\n{passage}\n"

_SENTENCES = "Write each as one full sentence that names its subject, so that it makes sense without the passage."
_IMPLICATIONS = (
    "Read the passage and list what it implies: the facts that it states and the conclusions that can be drawn from"
    f" them. {_SENTENCES}"
)

_PLAN = (
    "Plan how a model studies the passage below, so that it can answer questions about it afterwards. Choose a mix: how"
    " often each pass shows the whole passage, each of its sentences, and each line of yours (0, 1, 2 or 4). Choose"
    " learning_rate (0.001, 0.002 or 0.004), batch_size (1, 2 or 4) and the form of your lines: statements, or"
    " question-answer, where each line is a question with its answer behind it. Then write your lines: facts of the"
    f" passage and what follows from them. {_SENTENCES}\nAnswer with JSON alone, in this form:\n"
    '{{"mix": {{"passage": ..., "sentences": ..., "lines": ...}}, "learning_rate": ..., "batch_size": ..., "form": ...,'
    ' "lines": ["...", "..."]}}'
)

PROMPTS: dict[str, EditPrompt] = {
    prompt.name: prompt
    for prompt in (
        EditPrompt("implications", _IMPLICATIONS + _PASSAGE, "Implications:\n1.", "lines"),
        EditPrompt(
            "implications-long",
            _IMPLICATIONS + " Make the list long: twenty items or more." + _PASSAGE,
            "A long list of implications:\n1.",
            "lines",
        ),
        EditPrompt(
            "implications-very-long",
            _IMPLICATIONS
            + " Make the list very long, fifty items or more: take the passage sentence by sentence, leave no detail"
            " out, and say the most important ones in several ways." + _PASSAGE,
            "A very long list of implications:\n1.",
            "lines",
        ),
        EditPrompt(
            "rewrite",
            "Rewrite the passage in four different ways. Keep every fact, name and number; change the wording and the"
            ' order. Begin each with "Version 1:", "Version 2:" and so on.' + _PASSAGE,
            "Version 1:",
            "sections",
        ),
        EditPrompt(
            "self-qa",
            "Write questions about the passage, each with its short answer. Cover every fact, and name the subject in"
            ' each question. Write "Question 1:" and the question, on the next line "Answer:" and the answer, and so'
            " on." + _PASSAGE,
            "Question 1:",
            "pairs",
        ),
        EditPrompt(
            "chain-of-thought",
            "Read the passage and work in two parts. First think aloud, in two or three sentences, about what matters"
            ' in it and what follows from it. Then write a line that says "Implications:" and below it the list of'
            f" what the passage implies. {_SENTENCES}" + _PASSAGE,
            "Thoughts:",
            "lines",
            marker="Implications:",
        ),
        EditPrompt("none", "{title}\n{passage}\n", "", "lines", raw=True),
        EditPrompt(
            "entigraph",
            "List what the passage names: people, places, organisations, events, works, dates, things and ideas. Write"
            " one on each line, by its name alone." + _PASSAGE,
            "Names:\n1.",
            "paragraphs",
            second=SecondStep(
                "Explain in one paragraph how {items} relate to each other, according to the passage. Use only what it"
                " says and what follows from that, and call everything by its name, so that the paragraph makes sense"
                " without the passage." + _PASSAGE,
                "How {items} relate:",
                asked=((2, 4), (3, 2)),
                noun="entities",
                kind="name",
            ),
        ),
        EditPrompt(
            "active-reading",
            "Propose four strategies for studying the passage below, so that one knows it in depth afterwards: for"
            " instance to ask and answer questions about it, to retell it in the order of time, to compare what it"
            " names, or to say why things came about. Choose those that suit this passage. Write one on each line, as"
            " an instruction of one sentence." + _PASSAGE,
            "Strategies:\n1.",
            "paragraphs",
            second=SecondStep(
                "Study the passage by this strategy: {items}\nApply it to the passage and write down what comes out of"
                " it, in full sentences that name their subject, so that they make sense without the passage."
                + _PASSAGE,
                "What comes out:",
                asked=((1, 4),),
                noun="strategies",
                kind="line",
            ),
        ),
        EditPrompt("study-plan", _PLAN + _PASSAGE, "", "plan"),
    )
}
"""Each prompt by its name."""


def load_prompt(name: str) -> EditPrompt:
    """The prompt called `name`; SelfeditError listing the known ones where there is none."""
    if name not in PROMPTS:
        raise SelfeditError(f"no prompt named {name!r}; known: {', '.join(PROMPTS)}")
    return PROMPTS[name]


def chooses_training(name: str) -> bool:
    """Whether self-edits by the prompt called `name` choose how they are studied; False also for no prompt of ours."""
    return name in PROMPTS and PROMPTS[name].chooses_training


def ask_for_edit(name: str, title: str, passage: str) -> Prompt:
    """What is put before the policy to have it write a self-edit about `passage`: all of it, or its first step."""
    prompt = load_prompt(name)
    grammar = plan_grammar() if prompt.chooses_training else ""
    text = prompt.instruction.format(title=title, passage=passage)
    return Prompt(text, prompt.prefill, prompt.raw, grammar)
