"""Echo what is said in every room, accept every invite: a whole frontend on the raw bridge.

    (umask 077; gossamer token create echo > token.txt)
    python examples/echo_bot.py ws://127.0.0.1:7117 token.txt

The token is read from a file or, as `-`, from standard input, so that it is in no process list.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI


async def answer(socket: ClientConnection, event: dict[str, Any]) -> None:
    """Answer one event of the node."""
    match event:
        case {"event": "user_invite", "sender": sender, "room": room}:
            print(f"{sender} invites us to {room}", flush=True)
            await say(socket, event="user_invite_response", response="accept", invite=event["invite"])
        case {"event": "user_message", "self": False, "room": room, "message": text, "id": said} if (
            text and not event.get("history") and not text.startswith("echo: ")  # two bots would never end
        ):
            # The nonce makes a repetition harmless: one message is echoed once, whatever restarts.
            await say(socket, event="user_message", room=room, message=f"echo: {text}", nonce=f"echo {said}")
        case {"event": "error", "code": code, "message": why}:
            print(f"the node refused: {why} ({code})", file=sys.stderr, flush=True)


async def say(socket: ClientConnection, **command: Any) -> None:
    await socket.send(json.dumps(command))


async def main(url: str, token: str) -> None:
    """Connect, again whenever the node was away, and go on where we were."""
    headers, done = {"Authorization": f"Bearer {token}"}, {"epoch": "", "seq": 0}
    async for socket in connect(f"{url}/?hello=1", additional_headers=headers, proxy=None):
        with suppress(ConnectionClosed):
            await say(socket, event="hello", client="echo", **({"resume": done} if done["epoch"] else {}))
            async for frame in socket:
                event = json.loads(frame)
                await answer(socket, event)
                if event["event"] != "hello":
                    done["seq"] = max(done["seq"], event.get("seq", 0))
                elif done["epoch"] != event["log_epoch"]:  # the first time, or the log is another one
                    done = {"epoch": event["log_epoch"], "seq": event["seq"]}


if __name__ == "__main__":
    at, file = sys.argv[1:3] if len(sys.argv) == 3 else sys.exit(__doc__)
    try:
        asyncio.run(main(at, (sys.stdin.readline() if file == "-" else Path(file).read_text()).strip()))
    except (InvalidStatus, InvalidURI, OSError) as fault:
        sys.exit(f"{fault}{'; 401 means that the token is wrong' * isinstance(fault, InvalidStatus)}")
