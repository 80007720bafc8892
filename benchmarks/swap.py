"""How soon a served library's next request sees another live version, while a text is being written.

    selfedit serve --library LIBRARY
    python benchmarks/swap.py http://127.0.0.1:8000 NAME 1 2 [--times 6]

Each time a stream of `NAME@live` is begun, the other version is promoted once its first token is there, and a request
of one token follows at once. Told are the seconds that promoting took, those until that request was answered, which
version answered it, and whether the stream was still under way and went on with its own.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import asdict, dataclass, field

import httpx2 as httpx

STORY = "Tell me a long story about a voyage at sea."
TOKENS = 80


@dataclass
class Stream:
    """A text that is being written."""

    url: str
    model: str
    version: str = ""
    """Who writes it."""
    first: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0
    """By the monotonic clock."""

    def run(self) -> None:
        """Reads it to its end."""
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": STORY}],
            "max_tokens": TOKENS,
            "stream": True,
        }
        with httpx.stream("POST", f"{self.url}/v1/chat/completions", json=asked, timeout=300) as reply:
            self.version = reply.headers["x-selfedit-version"]
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    self.first.set()
        self.ended = time.monotonic()


@dataclass(frozen=True, slots=True)
class Swap:
    """One change of the live version."""

    wanted: str
    answered_by: str
    """Who answered the next request."""
    promoting_seconds: float
    reply_seconds: float
    """From then until the next request was answered."""
    is_under_way: bool
    """Whether the stream was still being written."""
    stream_by: str
    """Who wrote that."""


def main() -> None:
    """Swaps, and prints a line for each time."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("url")
    flags.add_argument("name", help="of the library")
    flags.add_argument("versions", type=int, nargs=2)
    flags.add_argument("--times", type=int, default=6)
    args = flags.parse_args()
    promote(args.url, args.versions[1])
    for number in range(args.times):
        print(json.dumps(asdict(swap(args.url, args.name, args.versions[number % 2]))), flush=True)


def swap(url: str, name: str, wanted: int) -> Swap:
    """The live version becomes another one while a text is written."""
    stream = Stream(url, f"{name}@live")
    thread = threading.Thread(target=stream.run)
    thread.start()
    stream.first.wait()
    began = time.monotonic()
    promote(url, wanted)
    promoted = time.monotonic()
    asked = {"model": f"{name}@live", "messages": [{"role": "user", "content": STORY}], "max_tokens": 1}
    reply = httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=300).raise_for_status()
    answered = time.monotonic()
    thread.join()
    return Swap(
        f"{name}@{wanted}",
        reply.headers["x-selfedit-version"],
        round(promoted - began, 2),
        round(answered - promoted, 2),
        stream.ended > answered,
        stream.version,
    )


def promote(url: str, version: int) -> None:
    """Makes a version live."""
    httpx.post(f"{url}/v1/library/promote", json={"version": version}, timeout=60).raise_for_status()


if __name__ == "__main__":
    main()
