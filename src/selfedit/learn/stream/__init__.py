"""L3. Streams of documents: what each way of keeping up knows after every document, of old, changed and gone ones."""

from selfedit.learn.stream.experiment import ASKED, KNOWN_STILL, READER, StreamRun, streams_of
from selfedit.learn.stream.settings import StreamArm, StreamArmKind, StreamConfig

__all__ = ["ASKED", "KNOWN_STILL", "READER", "StreamArm", "StreamArmKind", "StreamConfig", "StreamRun", "streams_of"]
