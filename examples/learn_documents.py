# %% [markdown]
# # Documents, learnt for good
#
# Two short documents about things that do not exist, so that no model can know them beforehand; put your own folder in
# their place. The cells run one after another in a notebook, and the whole as `python examples/learn_documents.py`: a
# few minutes on two cores. `SELFEDIT_MODEL` names another model, `SELFEDIT_RUN` another folder for what is kept.

# %%
import os
from pathlib import Path

import selfedit

MODEL = os.environ.get("SELFEDIT_MODEL", "smollm2-135m")
RUN = Path(os.environ.get("SELFEDIT_RUN", "runs/learn-documents"))
DOCS = RUN / "docs"
BRIDGE = """# The bridge of Orlemont

The bridge of Orlemont was built by Vera Holt in 1911 and is 240 metres long. In 1954 the engineer Tom Brandt widened it
for trams. Its toll house stands in Quarry Street and is now a museum of locks.
"""
FERRY = """# The ferry of Sennport

The ferry Albatross crosses the sound in 35 minutes. Captain Ida Lunt has steered it since 2003. It was made in Danholm
by the yard Koster & Sons in 1988, and a ticket costs 7 crowns.
"""
QUESTIONS = ("Who widened the bridge of Orlemont?", "Who steers the ferry Albatross?", "Who wrote the opera Carmen?")
DOCS.mkdir(parents=True, exist_ok=True)
for name, text in (("bridge.md", BRIDGE), ("ferry.md", FERRY)):
    (DOCS / name).write_text(text, encoding="utf-8")

# %% [markdown]
# ## Learn
# `edits=0` studies each chunk by its own sentences, which is the quickest; without it the model writes self-edits too,
# and the best are studied. The library is a folder: learn the same documents again, and nothing is done.

# %%
library = selfedit.Library(RUN / "library", progress=True, model=MODEL, edits=0)
report = library.learn(DOCS)
for lesson in report.lessons:
    right = sum(answer.verdict == "correct" for answer in lesson.report.after)
    print(f"{lesson.context.source}: {lesson.status}, {right} of {len(lesson.report.after)} questions right")


# %% [markdown]
# ## Ask
# An answer comes with the place that it is from, or there is none: what no document speaks of is not answered. A model
# of 135 million parameters may well say another word of the right sentence.


# %%
def ask(asked: selfedit.Library) -> None:
    for question in QUESTIONS:
        reply = asked.ask(question)
        print(f"{question}\n   {reply.text} ({reply.place})" if reply.is_known else f"{question}\n   not learnt")


ask(library)
for weighed in library.why(QUESTIONS[0]):
    source, lift = weighed.match.context.source, weighed.lift
    print(f"why: {source} says {weighed.text!r}, {lift:+.2f} nats per token by its adapter")

# %% [markdown]
# ## A document changes
# Only its own chunks are learnt again. Versions never change: the earlier one can still be asked.

# %%
(DOCS / "bridge.md").write_text(BRIDGE.replace("Tom Brandt", "Lena Ostrov"), encoding="utf-8")
report = library.learn()
print("changed:", ", ".join(report.changed), "| versions:", [version.number for version in library.versions()])
for number in (version.number for version in library.versions()):
    print(f"version {number}: {library.at(number).ask(QUESTIONS[0]).text}")
print("the proof, asked again:", library.verify())

# %% [markdown]
# ## One adapter for all
# Trained anew on what all lessons studied, and published only where the gate holds.

# %%
found = library.consolidate(tokens=1_000)
print(f"right with routing: {found.right_with_routing}, with one adapter: {found.right_with_one} of {found.questions}")
print(f"published as version {found.version.number}" if found.version else f"not published: {'; '.join(found.reasons)}")

# %% [markdown]
# ## Forget
# Lessons, adapters and every version that knew the document are gone, as if it had never been learnt.

# %%
left = library.forget("ferry.md")
print("left:", ", ".join(document.name for document in left.documents))
ask(library)
