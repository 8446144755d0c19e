"""Commands about who may come in, beside making and ending tokens: putting another in a token's place.

The admin token is a file that only the shell can write; the engine chooses it, and lets the bridge have it
once it is there (docs/bridge.md section 4).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

from node.bridge.ports import ADMIN, hash_token
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine import node_commands
from node.engine.desk import LATER, Answer, Desk
from node.engine.effects import KeepToken, TokenKept
from node.errors import Refused
from node.tables import Table


def token_rotate(desk: Desk, turn: Turn, _session: int, command: c.TokenRotate) -> Answer:
    """Put another token in the place of one; sessions that came in by the old one are closed."""
    secret = urlsafe_b64encode(turn.entropy(32)).decode().rstrip("=")
    if command.name is None:
        desk.after.append(KeepToken(desk.doing, secret))
        return LATER
    known = desk.state.tokens.get(command.name)
    if known is None:
        raise Refused("token_not_found", f"no token is called {command.name}", field="name")
    desk.state.tokens[known.name] = fresh = replace(known, token_hash=hash_token(secret))
    turn.put(Table.TOKENS, known.name.encode(), fresh)
    desk.after.append(node_commands.credentials(desk))
    expires_at = None if known.expires_ms is None else known.expires_ms // 1000
    return {"token": secret, "name": known.name, "scope": known.scope, "expires_at": expires_at}


def kept(desk: Desk, done: TokenKept) -> dict[str, Any]:
    """The new admin token is in its file: return the answer, after which the bridge knows no other."""
    desk.after.append(replace(node_commands.credentials(desk), admin_token=done.kept.token))
    return {"name": ADMIN, "scope": "owner", "expires_at": None, "path": done.path}
