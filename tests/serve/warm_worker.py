"""A process that has imported what a job's child needs, and forks one for each client (warm_client.py).

So a child begins in hundredths of a second, and is otherwise what it is in life: a process of its own, with its own
standard streams and environment, that can be stopped or killed. It listens on the Unix socket that it is told, and ends
with its own standard input.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys

import fake_worker


def main(path: str) -> None:
    """Serves until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what is forked
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as waiting:
        server.bind(path)
        server.listen()
        waiting.register(server, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while not any(key.fileobj is sys.stdin for key, _ in waiting.select()):
            client, _ = server.accept()
            with client:
                if os.fork() == 0:
                    server.close()
                    _serve(client)


def _serve(client: socket.socket) -> None:
    told, streams, _, _ = socket.recv_fds(client, 1 << 20, 3)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(json.loads(told))
    client.sendall(f"{os.getpid()}\n".encode())
    code = 1
    try:
        code = fake_worker.run()
    finally:
        client.sendall(f"{code}\n".encode())
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
