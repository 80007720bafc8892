"""An agent in 30 lines: any OpenAI-compatible client, and a word on each reply.

selfedit serve --library porter --agent          # in another terminal; makes the agent where there is none
python examples/agent.py [URL]
"""

import json
import sys
import urllib.request
from typing import Any

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
RULES = (  # (a request, what is right, and why)
    ("A parcel for Vashti Orrel has come. Where to?", "dock K7", "Everything for Vashti Orrel goes to dock K7."),
    ("Someone left a crate for Pern Dotir.", "bay X3", "Whatever comes for Pern Dotir is sent to bay X3."),
)
AGAIN = ("The postman has a letter for Vashti Orrel.", "I have a box here with the name Pern Dotir on it.")


def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{URL}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return dict(json.load(reply))


def act(request: str) -> tuple[str, str]:
    models = json.load(urllib.request.urlopen(f"{URL}/models"))["data"]
    model = next(one["id"] for one in models if one["id"].endswith("@live"))
    reply = post("chat/completions", {"model": model, "messages": [{"role": "user", "content": request}]})
    return reply["id"], reply["choices"][0]["message"]["content"].strip()


for request, right, why in RULES:
    done, said = act(request)
    told = {"score": 1.0} if said == right else {"action": right, "said": why}
    print(f"{request}\n  {said!r}\n  {post('feedback', {'id': done, **told})['line']}")
for request in AGAIN:
    print(f"{request}\n  {act(request)[1]!r}")
