"""Pages of a group: its members and messages, as the groups protocol is given them."""

from __future__ import annotations

from typing import Any, Final

from node.bridge.dialects.adapter import Frame, Talk, message_of
from node.bridge.dialects.groups_001 import shapes
from node.bridge.dialects.groups_001.memory import Memory
from node.bridge.dialects.groups_001.reading import FIRST_PAGE
from node.chat import commands as c

PROFILE: Final = c.ProfileGet()


def everything(memory: Memory, room: str) -> Talk[None]:
    """Return a group with its members and newest messages."""
    facts = yield c.RoomGet(room=room)
    group = memory.described(room, facts)
    page = yield from messages(memory, room, FIRST_PAGE, None)
    data = {
        **shapes.group(room, group),
        "topic": facts["topic"],
        "unread": facts["unread"],
        "deleted": facts["deleted"],
        "members": [_member(memory, row) for row in facts["members"]],
        **page,
    }
    yield Frame("GROUP:RETURN_INIT_DATA", (data,))


def messages(memory: Memory, room: str, limit: int, before: str | None) -> Talk[dict[str, Any]]:
    """Return a page of messages, the oldest first, and whether there are older ones."""
    reading = memory.begin(room)
    try:
        found = yield c.HistoryGet(room=room, limit=limit, before=before)
    finally:
        memory.readings.remove(reading)
    known = memory.groups.get(room)
    direct = known is not None and known.direct
    said = [message_of(one) for one in found["messages"]]
    page = [shapes.message(memory, one, direct=direct).args[0] for one in said]
    for one in said:
        memory.await_file(one)
    if before is None:
        memory.give(one["id"] for one in page)
        there = {one["id"] for one in page}
        page += [one for one in reading.came if one["id"] not in there]
    return {"messages": page, "more": found["more"]}


def _member(memory: Memory, row: dict[str, Any]) -> dict[str, Any]:
    who = shapes.person(memory, row["user_id"], row["username"])
    return {**who, "role": row["role"], "presence": row["presence"], "blocked": row["blocked"]}
