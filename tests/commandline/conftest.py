"""A node that answers from a script, in the place of the connection to a running one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli import gossamer
from node.commandline import asking, chat, run
from node.commandline.app import App, invoke
from node.errors import Refused

ALICE, BOB = "0a0a0a0a-0000-8000-8000-000000000001", "0b0b0b0b-0000-8000-8000-000000000002"
CLUB, CLUB2 = "c1c1c1c1-0000-8000-8000-000000000003", "c2c2c2c2-0000-8000-8000-000000000004"
OFFER = "1f1f1f1f-0000-4000-8000-000000000005"


def answers() -> dict[str, Any]:
    """What the scripted node says: bob is a contact, there are rooms, and carol invites us."""
    rooms = [
        {"room": CLUB, "name": "club", "visibility": "private", "members": 2, "unread": 1},
        {"room": CLUB2, "name": "team", "visibility": "private", "members": 1, "unread": 0},
    ]
    offer = {"invite": OFFER, "room": CLUB, "room_name": "opera", "sender": "carol", "target": "alice"}
    members = [
        {"user_id": ALICE, "username": "alice", "role": "creator", "presence": "online"},
        {"user_id": BOB, "username": "bob", "role": "member", "presence": "offline"},
    ]
    return {
        "profile_get": {"user_id": ALICE, "username": "alice"},
        "room_list": {"rooms": rooms},
        "room_get": {"room": CLUB, "name": "club", "visibility": "private", "history": 0, "members": members},
        "contact_list": {"contacts": [{"user_id": BOB, "username": "bob", "state": "contact"}]},
        "invite_list": {"invites": [{**offer, "kind": "room", "state": "delivered", "expires_at": 0}]},
        "user_message": {"id": "m", "ts_ms": 1},
        "user_invite_response": {"state": "joined"},
    }


@dataclass
class Scripted:
    """Stands where the SDK's client stands: answers by command name, remembers what was asked."""

    answers: dict[str, Any]
    hello: dict[str, Any] = field(default_factory=lambda: {"user_id": ALICE, "username": "alice"})
    events_to_give: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call(self, command: str, **keys: Any) -> dict[str, Any]:
        self.asked.append((command, keys))
        answer = self.answers.get(command, {})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        for event in self.events_to_give:
            yield event


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scripted:
    scripted = Scripted(answers())

    @asynccontextmanager
    async def connected(app: App, **_: Any) -> AsyncIterator[asking.Node]:
        yield asking.Node(app, scripted)  # type: ignore[arg-type]  # it has the two methods that are used

    for module in (asking, chat, run):
        monkeypatch.setattr(module, "connected", connected)
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path))
    return scripted


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @asynccontextmanager
    async def connected(app: App, **_: Any) -> AsyncIterator[asking.Node]:
        raise Refused("not_running", f"no node runs in {app.home_dir}")
        yield  # makes it a generator

    monkeypatch.setattr(asking, "connected", connected)
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path))


@pytest.fixture
def gossamer_exits(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run one command line; gives exit code, stdout, stderr."""

    def run_it(*words: str) -> tuple[int, str, str]:
        code = invoke(gossamer, list(words))
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return run_it
