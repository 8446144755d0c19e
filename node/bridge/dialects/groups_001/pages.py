"""Pages of a group: its members and messages, as the groups protocol is given them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from node.bridge.dialects.adapter import Frame, Talk, message_of
from node.bridge.dialects.groups_001 import shapes
from node.bridge.dialects.groups_001.memory import Memory
from node.bridge.dialects.groups_001.reading import FIRST_PAGE
from node.chat import commands as c

PROFILE: Final = c.ProfileGet()
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024
"""Of the messages of a page, in which words stand three times: half of what a frontend may have waiting."""
MAX_FACES: Final = 256
"""Members whose avatar is shown, of at most 4 KiB each: as much again as half a page."""
_encode: Final = msgspec.json.Encoder().encode


def everything(memory: Memory, room: str) -> Talk[None]:
    """Return a group with its members and newest messages."""
    facts = yield c.RoomGet(room=room)
    group = memory.described(room, facts)
    page, changes = yield from messages(memory, room, FIRST_PAGE, None)
    data = {
        **shapes.group(room, group),
        "topic": facts["topic"],
        "unread": facts["unread"],
        "deleted": facts["deleted"],
        "members": _members(memory, facts["members"]),
        **page,
    }
    yield Frame("GROUP:RETURN_INIT_DATA", (data,))
    yield from changes


def messages(
    memory: Memory, room: str, limit: int, before: str | None
) -> Talk[tuple[dict[str, Any], Iterable[Frame]]]:
    """Return a page of messages, the oldest first, and whether there are older ones.

    Beside it what is to be told again after it: it may have been read before these changes.
    """
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
        there = {one["id"] for one in page}
        page += [one for one in reading.came if one["id"] not in there]
    kept = _fitting(page)
    if before is None:
        memory.give(one["id"] for one in kept)
    return {"messages": kept, "more": found["more"] or len(kept) < len(page)}, reading.changes


def _fitting(page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest of a page that one frame takes, one at least: members may write long messages."""
    left = MAX_PAGE_BYTES
    for place in range(len(page) - 1, -1, -1):
        left -= len(_encode(page[place]))
        if left < 0:
            return page[place + 1 :] or page[-1:]
    return page


def _members(memory: Memory, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = []
    for row in rows:
        who = shapes.person(memory, row["user_id"], row["username"])
        if len(members) >= MAX_FACES:
            who["avatar"] = None
        members.append({**who, "role": row["role"], "presence": row["presence"], "blocked": row["blocked"]})
    return members
