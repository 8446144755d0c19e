"""Tell the desktop of messages and invites, with the Python SDK; it goes on by itself when the node was away.

    (umask 077; gossamer token create notifier --scope read > token.txt)
    python examples/notifier.py ws://127.0.0.1:7117 token.txt

The token is read from a file or, as `-`, from standard input, so that it is in no process list. `read` is
enough for this one: it says nothing and changes nothing.
"""

import asyncio
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from node.client import Client
from node.errors import Refused

HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SEEN = {"events": ["user_message", "user_invite", "notification"]}


def wording(event: dict[str, Any]) -> tuple[str, str] | None:
    """Return title and text for an event, or None for what is not worth a notification."""
    match event:
        case {"event": "user_message", "self": False, "username": who, "message": text}:
            return None if event.get("history") or event["kind"] == "unreadable" else (who, text)
        case {"event": "user_invite", "sender": who, "room_name": name}:
            return who, f"invites you to {name}; there are 120 seconds"
        case {"event": "notification", "kind": kind} if kind in {"mention", "announcement", "contact"}:
            return "Gossamer", f"a new {kind}"
        case _:
            return None


def plain(text: str) -> str:
    """Peers write what they like: no control or bidi character of theirs reaches a terminal or a desktop."""
    return HARMFUL.sub("\ufffd", text)[:200]


async def show(title: str, text: str) -> None:
    """Show it by the desktop where there is one, else on standard output."""
    if shutil.which("notify-send") is None:
        print(f"{plain(title)}: {plain(text)}", flush=True)
        return
    # Some desktops read markup in the body, and a word that begins with `-` would be an option.
    body = plain(text).replace("&", "&amp;").replace("<", "&lt;")
    done = await asyncio.create_subprocess_exec(
        "notify-send", "--app-name=Gossamer", "--", plain(title), body
    )
    await done.wait()


async def main(url: str, token: str) -> None:
    """Follow the node's events for as long as it has us."""
    async with Client.connect(
        url=url, token=token, client="notifier", subscribe=SEEN, reconnect=True
    ) as node:
        async for event in node.events():
            told = wording(event)
            if told is not None:
                await show(*told)


if __name__ == "__main__":
    at, file = sys.argv[1:3] if len(sys.argv) == 3 else sys.exit(__doc__)
    try:
        asyncio.run(main(at, (sys.stdin.readline() if file == "-" else Path(file).read_text()).strip()))
    except (Refused, OSError) as fault:
        sys.exit(f"{fault}")
    except KeyboardInterrupt:
        pass
