"""L4. The server: as uvicorn's, but jobs end before it waits for what is still being sent.

Who follows a job is sent events until that is over, so that waiting for them first would wait for the whole learning.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from selfedit.serve.jobs import Jobs


class LibraryServer(uvicorn.Server):
    """Serves an application whose jobs end with it."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs) -> None:
        super().__init__(config)
        self.jobs = jobs

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server.shutdown`."""
        await asyncio.to_thread(self.jobs.close)
        await super().shutdown(sockets)
