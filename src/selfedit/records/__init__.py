"""L0. The nouns of selfedit: frozen, JSON-ready records that cross every boundary between modules.

A record holds plain Python values only, so that the same object can be hashed into a ledger key, stored as JSON, sent
to another process and compared in a test. Words are those of docs/glossary.md.
"""

from selfedit.records.data import (
    Context,
    Question,
)
from selfedit.records.episodes import Author, Episode, Feedback, LessonSource, Observation
from selfedit.records.exports import ExportCheck, Exported, ExportFormat
from selfedit.records.generation import (
    Completion,
    Generation,
    Prompt,
    SamplingParams,
)
from selfedit.records.hashing import (
    digest,
    to_json,
)
from selfedit.records.library import (
    Candidate,
    ChunkPlace,
    Lesson,
    LessonStatus,
    LibraryDocument,
    LibraryVersion,
    ProbeResult,
    Tested,
)
from selfedit.records.lines import CheckedLine, LineCheck, LineVerdict
from selfedit.records.live import Ending, LivePiece, LiveRequest, RefusalKind, Refused, TokenChance
from selfedit.records.moving import Candidates, Keys, MidAnswer, MidQuestion, MidStudied, MidStudy
from selfedit.records.policies import (
    UNTOUCHED,
    Policy,
)
from selfedit.records.results import (
    Answer,
    Failed,
    GradedAnswer,
    Invalid,
    Outcome,
    Preview,
    ScoredEdit,
    SelfEdit,
    Status,
    TrialResult,
    Verdict,
)
from selfedit.records.rethinking import Agreed, Beliefs, HeldOut, Rethought, Tallied, Tally, ViewAnswer
from selfedit.records.stages import (
    REGRADING,
    SHARED_EDITS,
    START,
    Stage,
)
from selfedit.records.training import (
    Budget,
    Example,
    Followup,
    LossOn,
    Query,
    TrainingConfig,
    Trial,
    TrialSpec,
    WarmConfig,
)
from selfedit.records.usage import (
    Role,
    StageUsage,
    Timing,
    Usage,
)
from selfedit.records.versions import (
    Constraint,
    MetaStep,
    Probe,
    Share,
    Update,
    UpdateResult,
    Version,
    WarmUp,
)

__all__ = [
    "REGRADING",
    "SHARED_EDITS",
    "START",
    "UNTOUCHED",
    "Agreed",
    "Answer",
    "Author",
    "Beliefs",
    "Budget",
    "Candidate",
    "Candidates",
    "CheckedLine",
    "ChunkPlace",
    "Completion",
    "Constraint",
    "Context",
    "Ending",
    "Episode",
    "Example",
    "ExportCheck",
    "ExportFormat",
    "Exported",
    "Failed",
    "Feedback",
    "Followup",
    "Generation",
    "GradedAnswer",
    "HeldOut",
    "Invalid",
    "Keys",
    "Lesson",
    "LessonSource",
    "LessonStatus",
    "LibraryDocument",
    "LibraryVersion",
    "LineCheck",
    "LineVerdict",
    "LivePiece",
    "LiveRequest",
    "LossOn",
    "MetaStep",
    "MidAnswer",
    "MidQuestion",
    "MidStudied",
    "MidStudy",
    "Observation",
    "Outcome",
    "Policy",
    "Preview",
    "Probe",
    "ProbeResult",
    "Prompt",
    "Query",
    "Question",
    "RefusalKind",
    "Refused",
    "Rethought",
    "Role",
    "SamplingParams",
    "ScoredEdit",
    "SelfEdit",
    "Share",
    "Stage",
    "StageUsage",
    "Status",
    "Tallied",
    "Tally",
    "Tested",
    "Timing",
    "TokenChance",
    "TrainingConfig",
    "Trial",
    "TrialResult",
    "TrialSpec",
    "Update",
    "UpdateResult",
    "Usage",
    "Verdict",
    "Version",
    "ViewAnswer",
    "WarmConfig",
    "WarmUp",
    "digest",
    "to_json",
]
