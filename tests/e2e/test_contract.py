"""Every command against a real node: its `ok` carries exactly the keys that docs/bridge.md promises."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from node.chat import commands
from tests.e2e.nodes import Frontend, NodeProcess, befriend, running

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `([a-z_]+)(?:\{.*?\})?` \| (?:read|chat|owner) \| (.*) \|$", PAGE, re.MULTILINE))
SOMETIMES = {
    "room_create": {"notice"},
    "user_join": {"state", "invite", "notice"},
    "user_invite_response": {"room", "game_id"},
    "token_rotate": {"token", "path"},
    "history_get": {"count"},
}
UNSAID = {
    "joined",
    "joining",
    "declined",
    "open",
    "ignore",
    "read",
    "sent",
    "queued",
    "user_message",
    "members",
    "accepted",
    "anyone",
    "admins",
}
"""Words in backticks that are values, scopes or other things than keys."""


def promised(command: str) -> tuple[set[str], dict[str, set[str]]]:
    """Return the keys of a command's `ok`, and the keys of the rows of its lists, as the table has them."""
    text = ROWS[command]
    if found := re.match(r"as `([a-z_]+)`", text):
        return promised(found[1])
    said = {"members", "read"} if command.startswith("receipts") else {"members"}
    keys = {word for word in re.findall(r"`([a-z_]+)", text) if word not in UNSAID - said}
    rows = {name: set(inner.split(",")) for name, inner in re.findall(r"`([a-z_]+)\[\{([a-z_,]+)\}\]`", text)}
    return (keys - {"members"} if command == "room_list" else keys), rows


class Checked:
    """A frontend whose every `ok` is compared with the table."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.done: set[str] = set()

    async def call(self, command: str, **keys: Any) -> dict[str, Any]:
        reply = await self.frontend.call(command, **keys)
        wanted, rows = promised(command)
        some = SOMETIMES.get(command, set())
        assert reply.keys() - {"event", "req"} - some == wanted - some, command
        for name, inner in rows.items():
            assert all(row.keys() == inner for row in reply[name]), (command, name)
        self.done.add(command)
        return reply


async def people(ann: Checked, bob: Checked) -> None:
    await ann.call("contact_link_create", once=True)
    await ann.call("contact_link_reset")
    assert (await ann.call("contact_list"))["contacts"]
    await ann.call("contact_rename", username="bob", name="bobby")
    await ann.call("contact_rename", username="bobby", name="bob")
    shown = await bob.call("contact_verify", username="ann")
    done = await ann.call("contact_verify", username="bob", code=shown["code"])
    assert (done["verified"], done["number"]) == ("verified", shown["number"])
    await ann.call("contact_policy", username="bob", policy="strict")
    await ann.call("contact_add", link=(await bob.call("profile_get"))["link"])
    await ann.call("profile_get", username="bob")
    await ann.call("profile_set", status="at tea", listed=True)
    await ann.call("presence_set", state="away", busy=True)
    await ann.call("presence_sweep")
    assert (await ann.call("user_search", text="bo"))["users"]


async def contacts(ann: Checked, bob: Checked) -> None:
    """They part, ask, take back, reject and accept each other again."""
    await ann.call("contact_remove", username="bob")
    await bob.frontend.event("contact_removed", username="ann")
    await ann.call("contact_request", username="bob")
    await bob.frontend.event("contact_requested", username="ann")
    await ann.call("contact_cancel", username="bob")
    await bob.frontend.event("contact_request_cancelled", username="ann")
    await ann.call("contact_request", username="bob", message="tea?")
    await bob.frontend.event("contact_requested", username="ann", message="tea?")
    await bob.call("contact_reject", username="ann")
    await ann.frontend.event("contact_rejected", username="bob")
    await bob.call("contact_request", username="ann")
    await ann.frontend.event("contact_requested", username="bob")
    await ann.call("contact_accept", username="bob")
    await bob.frontend.event("contact_added", username="ann")
    await bob.call("contact_block", username="ann")
    await ann.frontend.event("contact_updated", username="bob", blocked_by=True)
    await bob.call("contact_unblock", username="ann")
    await ann.frontend.event("contact_updated", username="bob", blocked_by=False)


async def rooms(ann: Checked, bob: Checked) -> None:
    room = (await ann.call("room_create", name="tea", nonce="first"))["room"]
    assert room == (await ann.call("room_create", name="tea", nonce="first"))["room"]
    gone = (await ann.call("user_invite", target="bob", room=room))["invite"]
    await ann.call("invite_cancel", invite=gone)
    offered = (await ann.call("user_invite", target="bob", room=room))["invite"]
    await bob.frontend.event("user_invite", invite=offered)
    assert (await bob.call("invite_list"))["invites"]
    found = (await bob.call("notification_list", limit=5))["notifications"]
    await bob.call("notification_read", id=found[0]["id"])
    await bob.call("notification_read_all")
    await ann.call("announcement_send", room=room, text="tea is ready")
    await bob.call("user_invite_response", response="ignore", invite=offered)
    await bob.call("user_invite_response", response="accept", invite=offered)
    await bob.frontend.event("user_join", room=room)
    await bob.call("user_join", room=room)
    said = (await bob.call("user_message", room=room, message="hello"))["id"]
    await ann.frontend.event("user_message", id=said)
    await bob.call("message_edit", room=room, id=said, message="hello, hello")
    await ann.frontend.event("message_edited", id=said, message="hello, hello")
    await ann.call("reaction_set", room=room, id=said, emoji="like")
    await bob.frontend.event("reaction", id=said, username="ann", on=True)
    await bob.call("user_message", room=room, message="and?", reply_to=said)
    await ann.call("message_delete", room=room, id=said)
    await bob.frontend.event("message_deleted", id=said, reason="moderated")
    await bob.call("typing_set", room=room)
    await ann.frontend.event("typing", username="bob", typing=True)
    assert (await ann.call("history_get", room=room, limit=5))["messages"]
    assert (await ann.call("search", text="ÁND?"))["messages"]
    mine = (await ann.call("user_message", room=room, message="hello yourself"))["id"]
    await bob.frontend.event("user_message", id=mine)
    assert [row["username"] for row in (await ann.call("message_why", id=mine))["recipients"]] == ["bob"]
    await bob.call("message_read", room=room, id=mine)
    await ann.frontend.event("message_status", id=mine, status="read", by="bob")
    assert (await ann.call("ledger_get", room=room))["recipients"]
    assert (await ann.call("room_mute", room=room))["muted"]
    await ann.call("receipts_set", read=True)
    await ann.call("receipts_get")
    await ann.call("room_read", room=room)
    assert (await ann.call("room_get", room=room))["members"]
    link = (await ann.call("room_link_create", room=room, uses=1))["link"]
    await bob.call("room_link_use", link=link)
    assert (await ann.call("room_link_revoke", room=room))["revoked"]
    await ann.call("member_role", room=room, username="bob", role="admin")
    await ann.call("room_update", room=room, name="green tea", topic="which?", invite="admins")
    assert (await ann.call("room_rekey", room=room))["epoch"]
    await ann.call("member_remove", room=room, username="bob", reason="spam")
    await ann.call("dm_open", username="bob")
    assert (await ann.call("room_list"))["rooms"]
    await ann.call("room_delete", room=room)
    await open_room(ann, bob)
    await ann.call("user_leave", room=room)


async def files(ann: Checked) -> None:
    stored = await ann.call("attachment_put", data="aGVsbG8=", name="hello.txt", type="text/plain")
    assert (await ann.call("attachment_get", id=stored["attachment"]))["data"] == "aGVsbG8="


async def open_room(ann: Checked, bob: Checked) -> None:
    """Bob finds Ann's open room in the directory, and comes in."""
    made = await ann.call("room_create", name="square", visibility="open")
    assert (made["visibility"], made["history"]) == ("open", "200")
    for _ in range(300):
        found = (await bob.call("room_list", joined=False))["rooms"]
        if found:
            break
        await asyncio.sleep(0.1)
    assert [(row["room"], row["name"], row["members"]) for row in found] == [(made["room"], "square", 1)]
    asked = await bob.call("user_join", room="square")
    assert asked["state"] == "joining" and asked["notice"] == made["notice"]
    await bob.frontend.event("user_join", room=made["room"], username="bob")
    assert (await bob.call("room_get", room=made["room"]))["visibility"] == "open"


async def owner(ann: Checked) -> None:
    await ann.call("node_status")
    await ann.call("peer_add", address="ws://127.0.0.1:1")
    assert (await ann.call("peer_list"))["peers"]
    await ann.call("peer_remove", address="ws://127.0.0.1:1")
    await ann.call("token_create", name="mybot", scope="chat")
    assert (await ann.call("token_list"))["tokens"]
    await ann.call("token_rotate", name="mybot")
    await ann.call("token_revoke", name="mybot")
    assert (await ann.call("audit_list", limit=5))["more"]
    await ann.call("origin_allow", origin="file://")
    assert (await ann.call("origin_list"))["origins"] == ["file://"]
    await ann.call("origin_remove", origin="file://")
    await ann.call("dialect_enable", dialect="003", origin="http://localhost:5173", rooms="private")
    assert (await ann.call("dialect_list"))["dialects"]
    await ann.call("dialect_disable", dialect="003")
    await ann.call("login_link_create")
    await ann.call("ack", seq=1)
    assert (await ann.call("consumer_list"))["consumers"]
    await ann.call("batch", commands=[{"event": "room_list"}, {"event": "no_such_thing"}])
    await ann.call("consumer_remove", name="test")
    await ann.call("backup_create", passphrase="for the safe")
    await ann.call("vault_passphrase", passphrase="open sesame")
    await ann.call("vault_lock")
    await ann.call("node_status")
    await ann.call("vault_unlock", passphrase="open sesame")
    await ann.call("node_stop")


async def test_every_ok_has_the_keys_that_the_table_promises(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann"), NodeProcess(tmp_path / "bob", "bob")
    async with running(ann, bob):
        await befriend(ann, bob)
        async with ann.frontend({"consumer": "test"}) as at_ann, bob.frontend({}) as at_bob:
            one, other = Checked(at_ann), Checked(at_bob)
            await people(one, other)
            await contacts(one, other)
            await rooms(one, other)
            await files(one)
            await owner(one)
        assert one.done | other.done == commands.BY_NAME.keys() - {"hello"}
        assert ann.process is not None
        assert await ann.process.wait() == 0
        assert not (tmp_path / "ann" / "runtime.json").exists()
