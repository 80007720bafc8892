"""L4. Fakes for the seams, so that a task, a method or a strategy of one's own is tested in milliseconds.

No model, clock or network: all that they say comes from hashes of their input. `FakeEngine` learns by hash;
`ForgetfulEngine` remembers what it learnt last and forgets what was before; `RoteEngine` is an agent's, and knows by
heart what it was told.
"""

from selfedit.testing.building import BuildFake
from selfedit.testing.engines import FakeEngine, ForgetfulEngine, Stopped
from selfedit.testing.live import FakeLiveWriter
from selfedit.testing.moving import FakeMovingTexts
from selfedit.testing.rote import RoteEngine
from selfedit.testing.tasks import FakeGrader, FakeTask, SilentProgress, TwoStepTask, make_contexts, make_runtime

__all__ = [
    "BuildFake",
    "FakeEngine",
    "FakeGrader",
    "FakeLiveWriter",
    "FakeMovingTexts",
    "FakeTask",
    "ForgetfulEngine",
    "RoteEngine",
    "SilentProgress",
    "Stopped",
    "TwoStepTask",
    "make_contexts",
    "make_runtime",
]
