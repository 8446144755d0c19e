"""Tokens of a simulated node: put in another's place, for good, by who may."""

from __future__ import annotations

import pytest

from node.bridge.ports import CredentialsChanged, hash_token
from node.chat import commands as c
from node.sim import CallError, SimNode, Simulation


def watched(node: SimNode) -> list[CredentialsChanged]:
    """Return a list that grows with what the bridge is told of credentials."""
    told: list[CredentialsChanged] = []
    inner = node._one

    def one(effect: object) -> None:
        if isinstance(effect, CredentialsChanged):
            told.append(effect)
        inner(effect)  # type: ignore[arg-type]  # it is what it was given

    node._one = one  # type: ignore[method-assign]
    return told


def test_a_rotated_child_token_keeps_its_name_scope_and_end_and_survives_a_kill() -> None:
    ann = Simulation("tokens").add("ann")
    told = watched(ann)
    old = ann.call(c.TokenCreate(name="bot", scope="read", expires_in=60))
    new = ann.call(c.TokenRotate(name="bot", nonce="n"))
    assert new["token"] != old["token"]
    assert {**old, "token": None} == {**new, "token": None}
    assert [token.token_hash for token in told[-1].tokens] == [hash_token(new["token"])]
    assert ann.call(c.TokenRotate(name="bot", nonce="n")) == new
    ann.crash()
    ann.start()
    assert [token.token_hash for token in told[-1].tokens] == [hash_token(new["token"])]
    assert told[-1].admin_token is None
    assert ann.call(c.TokenRotate(name="bot", nonce="n")) == new


def test_the_admin_token_is_told_to_the_bridge_after_the_answer_and_to_nobody_else() -> None:
    ann = Simulation("admin").add("ann")
    told, session = watched(ann), ann.attach()
    answer = ann.call(c.TokenRotate(), session)
    assert answer == {"name": "owner", "scope": "owner", "expires_at": None, "path": "simulated"}
    assert told[-1].admin_token is not None and len(told[-1].admin_token) == 43
    assert told[-1].admin_token not in repr(told[-1]) + str(session.seen) + repr(ann.store.load())
    ann.call(c.TokenRotate())
    assert told[-1].admin_token != told[-2].admin_token


def test_no_child_token_is_called_like_the_admin_token() -> None:
    ann = Simulation("named").add("ann")
    with pytest.raises(CallError) as refused:
        ann.call(c.TokenCreate(name="owner", scope="read"))
    assert refused.value.code == "name_taken"


def test_a_token_that_is_not_there_is_not_rotated() -> None:
    ann = Simulation("none").add("ann")
    with pytest.raises(CallError) as refused:
        ann.call(c.TokenRotate(name="bot"))
    assert refused.value.code == "token_not_found"


def test_history_is_read_in_the_simulator_too() -> None:
    ann = Simulation("history").add("ann")
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    said = [ann.call(c.UserMessage(room=room, message=text))["id"] for text in ("one", "two", "three")]
    page = ann.call(c.HistoryGet(room=room, before=said[2], limit=1))
    assert [message["message"] for message in page["messages"]] == ["two"] and page["more"]
