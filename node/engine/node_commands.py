"""Commands about the node itself: status, peers, tokens, origins (docs/bridge.md section 2)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from typing import Any, Final

from node import __version__
from node.bridge.enabling import origin_of
from node.bridge.ports import ADMIN, CredentialsChanged, TokenRecord, hash_token
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine.desk import LATER, Answer, Desk
from node.engine.effects import AnswerStatus, StopNode
from node.errors import Refused
from node.mesh.ports import AddAddress, AddressInfo, RemoveAddress
from node.tables import Table

MAX_TOKENS = 100
MAX_ORIGINS = 100
MAX_PEERS = 64
_ADDRESS: Final = re.compile(r"wss?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?(?:/[^\s?#]*)?")


def node_status(desk: Desk, turn: Turn, session: int, command: c.NodeStatus) -> Answer:
    """Say how the node is; the shell adds what only the store knows."""
    state = desk.state
    fields = {
        "version": __version__,
        "uptime_s": (turn.now.wall_ms - desk.started_wall_ms) // 1000,
        "connectivity": desk.mesh.connectivity,
        "links": len(desk.mesh.peers(turn.now)),
        "came_in": desk.mesh.came_in,
        "contacts": len(state.people.contacts()),
        "rooms": len(state.rooms.rooms()) + len(state.rooms.direct),
        "clients": len(state.sessions),
        "username": state.me.profile.username,
        "user_id": state.me.user_id,
        "addresses": list(desk.addresses()),
        "log_epoch": state.log_epoch,
        "seq": turn.seq,
        "clock_skew_s": desk.mesh.skew_s,
        "revoked": state.me.replaced,
        "held": desk.shelving.facts(),
        "held_quota_bytes": desk.shelving.quota,
        "held_ids": desk.shelving.ids,
    }
    desk.after.append(AnswerStatus(session, command.req, fields, desk.nonced(command)))
    return LATER


def node_stop(desk: Desk, _turn: Turn, _session: int, _command: c.NodeStop) -> Answer:
    """Stop cleanly, after this answer."""
    desk.after.append(StopNode())
    return {}


def peer_list(desk: Desk, turn: Turn, _session: int, _command: c.PeerList) -> Answer:
    """List the live links, and the addresses that no link stands to."""
    dialled = desk.mesh.dialled(turn.now)
    known = {there.peer: there.address for there in dialled if there.peer is not None}
    rows: list[dict[str, Any]] = [
        {
            "peer": peer.peer,
            "address": peer.address,
            "direction": peer.direction,
            "rtt_ms": peer.rtt_ms,
            "age_s": peer.age_s,
            "copies": peer.copies,
            "state": peer.state,
            "source": peer.source,
            "known_as": known.get(peer.peer) if peer.direction == "in" else None,
            "last_error": None,
            "retry_s": None,
        }
        for peer in desk.mesh.peers(turn.now)
    ]
    linked = {row[key] for row in rows for key in ("address", "known_as")}
    rows += [_down(there) for there in dialled if there.address not in linked]
    return {"peers": rows}


def _down(there: AddressInfo) -> dict[str, Any]:
    blank = dict.fromkeys(("rtt_ms", "age_s", "known_as"))
    known = {"peer": there.peer, "address": there.address, "direction": "out", "source": there.source}
    trouble = {"last_error": there.last_error, "retry_s": there.retry_s}
    return {**blank, **known, **trouble, "copies": 0, "state": "down"}


def peer_add(desk: Desk, turn: Turn, _session: int, command: c.PeerAdd) -> Answer:
    """Dial an address from now on, and after every start."""
    found = _ADDRESS.fullmatch(command.address)
    if found is None or not 0 < int(found[1] or 1) < 65_536:
        raise Refused("invalid", "an address is ws://HOST:PORT or wss://HOST:PORT", field="address")
    peers = desk.state.peers
    if len(peers) >= MAX_PEERS and command.address not in peers:
        raise Refused("too_many", f"{MAX_PEERS} addresses are dialled already", field="address")
    peers[command.address] = turn.now.wall_ms
    turn.put(Table.SETTINGS, b"peer" + command.address.encode(), turn.now.wall_ms)
    desk.mesh_orders.append(AddAddress(command.address, "configured"))
    return {"address": command.address}


def peer_remove(desk: Desk, turn: Turn, _session: int, command: c.PeerRemove) -> Answer:
    """Dial an address no longer."""
    known = desk.state.peers.pop(command.address, None)
    if known is None and command.address not in desk.mesh.addresses():
        raise Refused("peer_not_found", "this address is not dialled", field="address")
    turn.delete(Table.SETTINGS, b"peer" + command.address.encode())
    desk.mesh_orders.append(RemoveAddress(command.address))
    return {"address": command.address}


def token_create(desk: Desk, turn: Turn, _session: int, command: c.TokenCreate) -> Answer:
    """Make a child token; it is shown this once."""
    tokens = desk.state.tokens
    if command.name == ADMIN:
        raise Refused("name_taken", f"{ADMIN} is what the admin token is called", field="name")
    standing = tokens.get(command.name)
    if standing is not None and not _is_over(standing, turn.now.wall_ms):
        raise Refused("name_taken", f"a token is called {command.name} already", field="name")
    if standing is None and len(tokens) >= MAX_TOKENS:
        raise Refused("too_many", f"there are {MAX_TOKENS} tokens: revoke one first")
    secret = urlsafe_b64encode(turn.entropy(32)).decode().rstrip("=")
    expires = None if command.expires_in is None else turn.now.wall_ms + command.expires_in * 1000
    record = TokenRecord(command.name, command.scope, hash_token(secret), turn.now.wall_ms, expires)
    tokens[command.name] = record
    turn.put(Table.TOKENS, command.name.encode(), record)
    desk.after.append(credentials(desk))
    return {
        "token": secret,
        "name": command.name,
        "scope": command.scope,
        "expires_at": None if expires is None else expires // 1000,
    }


def _is_over(token: TokenRecord, now_ms: int) -> bool:
    return token.expires_ms is not None and now_ms >= token.expires_ms


def token_list(desk: Desk, _turn: Turn, _session: int, _command: c.TokenList) -> Answer:
    """List child tokens without the tokens."""
    rows = [
        {
            "name": token.name,
            "scope": token.scope,
            "created_at": token.created_ms // 1000,
            "expires_at": None if token.expires_ms is None else token.expires_ms // 1000,
        }
        for token in desk.state.tokens.values()
    ]
    return {"tokens": rows}


def token_revoke(desk: Desk, turn: Turn, _session: int, command: c.TokenRevoke) -> Answer:
    """End a child token and the sessions that use it."""
    if desk.state.tokens.pop(command.name, None) is None:
        raise Refused("token_not_found", f"no token is called {command.name}", field="name")
    turn.delete(Table.TOKENS, command.name.encode())
    desk.after.append(credentials(desk))
    return {"name": command.name}


def origin_list(desk: Desk, _turn: Turn, _session: int, _command: c.OriginList) -> Answer:
    """List the web origins that may connect."""
    return {"origins": sorted(desk.state.origins)}


def origin_allow(desk: Desk, turn: Turn, _session: int, command: c.OriginAllow) -> Answer:
    """Let pages of an origin connect, given that they have a token."""
    origin = origin_of(command.origin)
    if len(desk.state.origins) >= MAX_ORIGINS and origin not in desk.state.origins:
        raise Refused("too_many", f"{MAX_ORIGINS} origins are allowed already")
    desk.state.origins[origin] = turn.now.wall_ms
    turn.put(Table.ORIGINS, origin.encode(), turn.now.wall_ms)
    desk.after.append(credentials(desk))
    return {"origin": origin}


def origin_remove(desk: Desk, turn: Turn, _session: int, command: c.OriginRemove) -> Answer:
    """Take an origin off the list and close its sessions."""
    origin = origin_of(command.origin)
    if desk.state.origins.pop(origin, None) is None:
        raise Refused("origin_not_found", f"{origin} is not on the list", field="origin")
    turn.delete(Table.ORIGINS, origin.encode())
    desk.after.append(credentials(desk))
    return {"origin": origin}


def credentials(desk: Desk) -> CredentialsChanged:
    """Return the whole truth about child tokens, origins and dialects for the guard."""
    state = desk.state
    dialects = tuple(state.dialects[name] for name in sorted(state.dialects))
    return CredentialsChanged(tuple(state.tokens.values()), tuple(sorted(state.origins)), dialects=dialects)
