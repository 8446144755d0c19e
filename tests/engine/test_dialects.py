"""Which dialects of other frontends are on: decided by the engine, told to the bridge, kept over a kill."""

from __future__ import annotations

import pytest

from node.bridge.ports import CredentialsChanged, DialectRecord, Found, Listening
from node.chat import commands as c
from node.errors import Refused
from node.sim import CallError, SimNode, Simulation
from tests.engine.test_tokens import watched

PAGE, OTHER = "http://localhost:5173", "http://localhost:3000"


def lone(name: str) -> SimNode:
    return Simulation(name).add("ann")


def on(told: list[CredentialsChanged]) -> tuple[DialectRecord, ...]:
    return told[-1].dialects


def refused(ann: SimNode, command: c.Command) -> str:
    before = ann.call(c.DialectList())
    with pytest.raises(CallError) as fault:
        ann.call(command)
    assert ann.call(c.DialectList()) == before
    return fault.value.code


def test_a_dialect_is_on_after_a_kill_as_it_was_before() -> None:
    ann = lone("kept")
    told = watched(ann)
    shown = ann.call(
        c.DialectEnable(dialect="003", origin=PAGE, port=3000, rooms="private", serve="/srv/page", tls=True)
    )
    assert {key: shown[key] for key in ("origins", "port", "rooms", "serve", "tls", "state")} == {
        "origins": [PAGE], "port": 3000, "rooms": "private", "serve": "/srv/page", "tls": True,
        "state": "listening",
    }  # fmt: skip
    assert on(told) == (DialectRecord("003", (PAGE,), 3000, "private", "/srv/page", True),)
    before = ann.call(c.DialectList())
    ann.crash()
    ann.start()
    assert ann.call(c.DialectList()) == before
    ann.call(c.OriginAllow(origin=OTHER))
    assert on(told) == (DialectRecord("003", (PAGE,), 3000, "private", "/srv/page", True),)
    ann.call(c.DialectDisable(dialect="003"))
    assert on(told) == ()
    ann.crash()
    ann.start()
    assert not any(row["enabled"] for row in ann.call(c.DialectList())["dialects"])


def test_what_is_given_again_changes_that_alone_and_an_origin_is_added() -> None:
    ann = lone("again")
    told = watched(ann)
    ann.call(c.DialectEnable(dialect="004", origin=PAGE, rooms="private", port=3000))
    ann.call(c.DialectEnable(dialect="004", origin=OTHER))
    ann.call(c.DialectEnable(dialect="004", origin=OTHER, port=3001))
    assert on(told) == (DialectRecord("004", (OTHER, PAGE), 3001, "private"),)
    ann.call(c.DialectEnable(dialect="004", rooms="open"))
    ann.call(c.DialectDisable(dialect="004", origin=OTHER))
    assert on(told) == (DialectRecord("004", (PAGE,), 3001, "open"),)
    ann.call(c.DialectDisable(dialect="004"))
    ann.call(c.DialectEnable(dialect="004"))
    assert on(told) == (DialectRecord("004"),)


def test_a_build_and_tls_have_a_port_though_none_is_named_and_keep_it() -> None:
    ann = lone("unnamed")
    assert ann.call(c.DialectEnable(dialect="003", serve="/srv/page"))["port"] == 7123
    assert ann.call(c.DialectEnable(dialect="004", tls=True))["port"] == 7124
    assert ann.call(c.DialectEnable(dialect="003", tls=True, port=3000))["port"] == 3000
    assert refused(ann, c.DialectEnable(dialect="001", port=7124)) == "port_taken"


def test_the_list_shows_every_dialect_and_the_origins_of_one_are_not_those_of_another() -> None:
    ann = lone("list")
    ann.call(c.DialectEnable(dialect="002", origin=PAGE))
    rows = ann.call(c.DialectList())["dialects"]
    assert [(row["dialect"], row["enabled"], row["origins"]) for row in rows] == [
        ("001", False, []), ("002", True, [PAGE]), ("003", False, []), ("004", False, []),
    ]  # fmt: skip
    assert ann.call(c.OriginList())["origins"] == []


def test_what_cannot_be_is_refused_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ann = lone("refused")
    ann.call(c.DialectEnable(dialect="001", port=3000))
    assert refused(ann, c.DialectEnable(dialect="002", origin="nonsense", rooms="private")) == "invalid"
    assert refused(ann, c.DialectEnable(dialect="001", origin="http://")) == "invalid"
    assert refused(ann, c.DialectEnable(dialect="003", serve="dist", port=3001)) == "invalid"
    assert refused(ann, c.DialectEnable(dialect="003", port=3000)) == "port_taken"
    assert refused(ann, c.DialectDisable(dialect="003")) == "not_enabled"
    assert refused(ann, c.DialectDisable(dialect="001", origin=PAGE)) == "origin_not_found"
    assert refused(ann, c.LoginLinkCreate(dialect="003")) == "not_enabled"
    assert refused(ann, c.LoginLinkCreate(dialect="001")) == "invalid"
    monkeypatch.setattr("node.bridge.enabling.MAX_ORIGINS", 1)
    ann.call(c.DialectEnable(dialect="001", origin=PAGE))
    ann.call(c.DialectEnable(dialect="001", origin=PAGE))
    assert refused(ann, c.DialectEnable(dialect="001", origin=OTHER)) == "too_many"


def test_what_the_bridge_found_is_refused_or_shown_and_a_nonce_has_its_first_result() -> None:
    ann = lone("found")
    told, session = watched(ann), ann.attach()
    command = c.DialectEnable(dialect="003", port=3000, nonce="n")
    taken = Found(Refused("port_taken", "port 3000 cannot be had", field="port"))

    def ask(found: Found) -> dict[str, object]:
        from node.bridge.ports import CommandReceived

        ann.feed(CommandReceived(session.number, command, found=found))
        event = session.seen[-1]
        return getattr(event, "fields", None) or {"code": getattr(event, "code", None)}

    assert ask(taken) == {"code": "port_taken"}
    assert not told
    seen = Listening("listening", "https://127.0.0.1:3000", None, "AB:CD")
    first = ask(Found(None, {"003": seen}, "/home/cron_secret"))
    assert [first[key] for key in ("address", "fingerprint", "cron_secret")] == [
        "https://127.0.0.1:3000", "AB:CD", "/home/cron_secret",
    ]  # fmt: skip
    assert ask(taken) == first and len(told) == 1


def test_dialects_go_into_a_backup() -> None:
    world = Simulation("backup")
    ann = world.add("ann")
    ann.call(c.DialectEnable(dialect="004", origin=PAGE, port=3000))
    world.restore("ann2", ann.backup(), peers=[]).start()
    rows = world.nodes["ann2"].call(c.DialectList())["dialects"]
    assert [(row["origins"], row["port"]) for row in rows if row["enabled"]] == [([PAGE], 3000)]
