"""Commands about room links: make, use and revoke them (docs/bridge.md section 2)."""

from __future__ import annotations

from node import ids
from node.chat import commands as c
from node.chat.invites import OFFER_MS
from node.chat.joining import Joining
from node.chat.membership import InviteState
from node.chat.room import Room
from node.chat.turn import Turn
from node.crypto import links, ops
from node.crypto.channel import join_channel_secret
from node.crypto.joining import invite_keypair, link_invite_id
from node.crypto.links import RoomLink
from node.crypto.ops import Role
from node.engine.desk import Answer, Desk
from node.engine.greeting import DOORS_EACH, is_link, open_links
from node.engine.open_rooms import ask
from node.errors import DecodeError, Refused

LINK_MS = OFFER_MS
"""A link without an end of its own is good for a week: it is a key to the room, and keys get lost."""


def room_link_create(desk: Desk, turn: Turn, _session: int, command: c.RoomLinkCreate) -> Answer:
    """Make a link by which whoever has it comes into a room, while uses are left and its time is not over."""
    state = desk.state
    room = state.rooms.find_group(command.room)
    mine = [i for i in open_links(room, turn.mesh_ms) if i.author == state.me.account]
    if len(mine) >= DOORS_EACH:
        raise Refused("too_many", f"{DOORS_EACH} links of yours to this room are open", field="room")
    seed = turn.entropy(32)
    public = invite_keypair(seed)[0]
    life_ms = LINK_MS if command.expires_in is None else command.expires_in * 1000
    uses = ops.MAX_USES if command.uses is None else command.uses
    ends_ms = turn.mesh_ms + life_ms
    body = ops.Invite(
        link_invite_id(public), public, join_channel_secret(seed), uses, ends_ms, room.log.policy.admits
    )
    room.act(turn, body, rekey=False)
    desk.inbox.greeting.refresh(turn, room)
    addresses = desk.addresses()[: links.MAX_ADDRESSES]
    return {
        "room": room.uuid,
        "invite": ids.text(body.invite_id),
        "link": links.encode_room(RoomLink(room.room_id, seed, state.me.account, addresses)),
        "addresses": list(addresses),
        "uses": command.uses,
        "expires_at": ends_ms // 1000,
    }


def room_link_use(desk: Desk, turn: Turn, _session: int, command: c.RoomLinkUse) -> Answer:
    """Ask to join by a link; whoever of the room's greeters is up lets us in."""
    try:
        link = links.decode_room(command.link)
    except DecodeError as fault:
        raise Refused("bad_link", str(fault), field="link") from fault
    invite_id = link_invite_id(invite_keypair(link.invite_seed)[0])
    answer = {"room": ids.text(link.room_id), "invite": ids.text(invite_id)}
    inbox = desk.state.rooms.inboxes.get(link.room_id)
    if inbox is not None and inbox.room.open:
        return {**answer, "state": "joined"}
    for address in link.addresses:
        turn.addresses.append((address, "room", None))
    now = turn.mesh_ms
    ids_ = (link.room_id, invite_id, link.inviter)
    wish = Joining(*ids_, "", now, now, link.invite_seed, addresses=link.addresses)
    ask(desk, turn, wish, field="link")
    return {**answer, "state": "joining"}


def room_link_revoke(desk: Desk, turn: Turn, _session: int, command: c.RoomLinkRevoke) -> Answer:
    """Close one link, or every open link of a room that we may close."""
    room = desk.state.rooms.find_group(command.room)
    mine = desk.state.me.account
    rank = room.role_of(mine) or Role.MEMBER
    if command.invite is None:
        every = open_links(room, turn.mesh_ms)
        going = [i for i in every if i.author == mine or rank >= Role.ADMIN]
    else:
        going = [_closable(room, command.invite, turn.mesh_ms)]
        if going[0].author != mine and rank < Role.ADMIN:
            raise Refused("forbidden", "only its maker and admins close a link", field="invite")
    for invite in going:
        room.act(turn, ops.InviteRevoke(invite.invite_id), rekey=False)
    desk.inbox.greeting.refresh(turn, room)
    return {"room": room.uuid, "revoked": [ids.text(i.invite_id) for i in going]}


def _closable(room: Room, text: str, now_ms: int) -> InviteState:
    try:
        invite = room.log.invites.get(ids.parse(text))
    except ValueError:
        invite = None
    if invite is None or not is_link(invite):
        raise Refused("invite_unknown", "the room has no link with this invite", field="invite")
    if invite.uses_left and not invite.over(now_ms):
        return invite
    if invite.revoked:
        raise Refused("invite_resolved", "this link was revoked", field="invite", outcome="cancelled")
    outcome = "expired" if invite.uses_left else "accept"
    raise Refused("invite_resolved", "this link is over", field="invite", outcome=outcome)
