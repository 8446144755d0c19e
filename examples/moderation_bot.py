"""Delete what has a listed word in it, and put out who does not stop: a bot on a named consumer.

    (umask 077; gossamer token create moderator > token.txt)
    python examples/moderation_bot.py ws://127.0.0.1:7117 token.txt words.txt

It needs a node that is an admin of the rooms it looks after. The node keeps its place in the event log under
the consumer's name, so it misses nothing while it is down, and every deed carries a nonce, so that nothing
is done twice when it starts again before it had said `ack`.
"""

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from node.client import Client
from node.errors import Refused

CONSUMER = "moderator"
STRIKES = 3
ALLOWED_TO_FAIL = {"forbidden", "unknown_user", "not_a_member", "room_not_found", "message_not_found"}
ALLOWED_TO_FAIL |= {"direct_room", "room_deleted", "room_keys_lost"}  # no room where somebody can be put out
ALLOWED_TO_FAIL |= {"connection_lost"}  # without a nonce only the ack is not repeated; the next one covers it


class Moderator:
    """Judges one message at a time."""

    def __init__(self, words: list[str]) -> None:
        listed = "|".join(re.escape(word) for word in words)
        self.listed = re.compile(rf"\b(?:{listed})\b", re.IGNORECASE) if words else re.compile(r"(?!)")
        self.strikes: Counter[tuple[str, str]] = Counter()

    async def judge(self, node: Client, event: dict[str, Any]) -> None:
        """Do what one event asks for."""
        if event["event"] not in {"user_message", "message_edited"} or event.get("self"):
            return
        if not self.listed.search(event.get("message", "")):
            return
        room, said, who = event["room"], event["id"], event["user_id"]
        await attempt(node, "message_delete", room=room, id=said, nonce=f"delete {said}")
        self.strikes[room, who] += 1
        if self.strikes[room, who] >= STRIKES:
            await attempt(node, "member_remove", room=room, username=who, nonce=f"remove {said}")


async def attempt(node: Client, command: str, **keys: Any) -> None:
    """Do one thing; that we are no admin there, or that it is done already, is no reason to stop."""
    while True:
        try:
            await node.call(command, **keys)
        except Refused as fault:
            if fault.retry_after is not None:  # a flood: our token has a rate, and what waits is not lost
                await asyncio.sleep(fault.retry_after)
                continue
            if fault.code not in ALLOWED_TO_FAIL:
                raise
            print(f"{command}: {fault}", file=sys.stderr, flush=True)
        return


async def main(url: str, token: str, words: list[str]) -> None:
    """Judge every message since the last `ack`, then as they come."""
    moderator = Moderator(words)
    async with Client.connect(url=url, token=token, consumer=CONSUMER, reconnect=True) as node:
        async for event in node.events():
            await moderator.judge(node, event)
            if "seq" in event:
                await attempt(node, "ack", seq=event["seq"])


if __name__ == "__main__":
    at, file, listed = sys.argv[1:4] if len(sys.argv) == 4 else sys.exit(__doc__)
    secret = (sys.stdin.readline() if file == "-" else Path(file).read_text()).strip()
    try:
        asyncio.run(main(at, secret, Path(listed).read_text().split()))
    except (Refused, OSError) as fault:
        sys.exit(f"{fault}")
    except KeyboardInterrupt:
        pass
