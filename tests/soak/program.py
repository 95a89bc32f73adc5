"""A server over stdio that starts at once and does as it is told: ``python -I -S program.py serve|silent``."""

import json
import os
import sys

CAPABILITIES = {"tools": {}}
DONE = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
BEGUN = {
    "server/discover": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES},
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": CAPABILITIES,
        "serverInfo": {"name": "soak", "version": "1"},
    },
}


def say(**members: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", **members}), flush=True)


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or sys.argv[1] == "silent":
        continue
    method, params = message["method"], message["params"]
    if method != "tools/call":
        say(id=message["id"], result=BEGUN[method])
    elif params["name"] == "hold" and "progressToken" in params.get("_meta", {}):
        token = params["_meta"]["progressToken"]
        say(method="notifications/progress", params={"progressToken": token, "progress": 1})
    elif params["name"] == "die":
        os._exit(9)
    elif params["name"] == "done":
        say(id=message["id"], result=DONE)
