"""Stands for the child that a warm process forks (warm_worker.py): hands over its streams, and ends as that does."""

import json
import os
import signal
import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [json.dumps(dict(os.environ)).encode()], [0, 1, 2])
    told = server.makefile()
    child = int(told.readline())
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))
    for stream in (0, 1):
        os.close(stream)
    code = told.readline()
if not code:
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(int(code))
