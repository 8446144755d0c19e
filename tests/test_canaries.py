"""The search after every test finds what is secret in what was logged, in any spelling."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from hashlib import sha256

import pytest

from node.bridge.guard import Credentials
from node.bridge.ports import hash_token
from node.chat.commands import UserMessage
from node.crypto import primitives
from node.crypto.keys import Identity
from tests.conftest import CANARIES

ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
log = logging.getLogger("node.canaries")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What is logged here on purpose fails no test."""
    yield
    CANARIES.begin()


def identity() -> Identity:
    drawn = iter(range(256))
    return Identity.generate(lambda size: sha256(bytes([next(drawn)])).digest()[:size], 20_000)


def found() -> bool:
    there = bool(CANARIES.found())
    CANARIES.begin()
    return there


def test_a_key_a_passphrase_a_token_and_a_message_are_found_when_they_are_logged() -> None:
    me = identity()
    log.debug("signed with %s", me.device_seed.hex())
    assert found()
    me = identity()
    log.info("signed with %s", base64.b64encode(me.dik_secret).decode())
    assert found()
    UserMessage(room=ROOM, message="meet me at the old mill")
    log.warning("not sent: %r", {"message": "meet me at the old mill"})
    assert found()
    Credentials(hash_token("t" * 43)).lookup("t" * 43, 0)
    log.debug("GET /?token=%s", "t" * 43)
    assert found()
    primitives.argon2id(b"correct horse battery", bytes(16), passes=1, memory_bytes=8192)
    try:
        raise ValueError("no: correct horse battery")
    except ValueError:
        log.exception("the vault stays shut")
    assert found()


def test_what_is_logged_without_them_is_fine() -> None:
    me = identity()
    UserMessage(room=ROOM, message="meet me at the old mill")
    log.debug("signed by %s in %s", me.device_id.hex(), ROOM)
    assert not found()
