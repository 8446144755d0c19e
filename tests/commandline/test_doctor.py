"""`gossamer doctor`: each ailment is noticed and has a remedy; the bundle tells nobody's secrets."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.commandline import ailments, doctor
from node.commandline.ailments import FAIL, OK, WARN, Finding
from node.crypto.links import ContactLink, encode_contact

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]
STATUS = {"version": "0.1.0", "uptime_s": 5, "connectivity": "synced", "links": 2}


def by_check(found: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path))
    return tmp_path


def test_a_new_home_is_well_but_for_what_a_first_run_brings(home: Path) -> None:
    (home / "config.toml").write_text('bridge = "127.0.0.1:0"\nlisten = "off"\n')
    (home / "config.toml").chmod(0o600)
    found = by_check(ailments.of_home(home))
    assert {name for name, f in found.items() if f.state != OK} == {"identity", "process"}
    assert all(f.do for f in found.values() if f.state != OK)


def test_files_that_others_can_read_are_named(home: Path) -> None:
    (home / "gossamer.db").touch()
    (home / "gossamer.db").chmod(0o644)
    found = by_check(ailments.of_home(home))["permissions"]
    assert found.state == FAIL and "gossamer.db" in found.text


def test_settings_that_the_node_would_refuse_are_told(home: Path) -> None:
    (home / "config.toml").write_text('passphrase_file = "nowhere"\n')
    assert by_check(ailments.of_home(home))["settings"].state == FAIL


def test_a_damaged_database_is_noticed(home: Path) -> None:
    path = home / "gossamer.db"
    with sqlite3.connect(path) as conn:
        conn.execute("create table t (a)")
        conn.executemany("insert into t values (?)", [(os.urandom(500),) for _ in range(50)])
    conn.close()
    assert by_check(ailments.of_home(home))["database"].state == OK
    data = bytearray(path.read_bytes())
    data[4096:4200] = bytes(104)
    path.write_bytes(data)
    assert by_check(ailments.of_home(home))["database"].state == FAIL


def test_a_full_disk_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((ailments.NO_SPACE - 1, FAIL), (ailments.LITTLE_SPACE - 1, WARN), (2**40, OK)):
        monkeypatch.setattr(
            ailments.shutil, "disk_usage", lambda _path, free=free: type("U", (), {"free": free})
        )
        assert by_check(ailments.of_home(home))["disk"].state == state


def test_a_port_that_somebody_else_has_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (home / "config.toml").write_text(f'bridge = "127.0.0.1:{taken.getsockname()[1]}"\nlisten = "off"\n')
        assert by_check(ailments.of_home(home))["bridge port"].state == FAIL


def test_a_killed_node_is_told_from_one_that_never_ran(home: Path) -> None:
    (home / "runtime.json").write_text('{"pid": 4194305}')
    assert "killed" in by_check(ailments.of_home(home))["process"].text


@pytest.mark.parametrize(
    ("more", "peers", "addresses", "check", "state"),
    [
        ({}, [], ["ws://8.8.8.8:7118"], "mesh", OK),
        ({"connectivity": "alone"}, [], [], "mesh", WARN),
        ({"connectivity": "connecting"}, [{"state": "down"}, {"state": "down"}], [], "mesh", WARN),
        ({}, [], [], "reach", WARN),
        ({}, [], ["ws://192.168.1.2:7118"], "reach", WARN),
        ({}, [], ["ws://127.0.0.1:7118"], "reach", WARN),
        ({}, [], ["ws://8.8.8.8:7118"], "reach", OK),
        ({"clock_skew_s": -4000}, [], [], "clock", WARN),
    ],
)
def test_what_a_running_node_says_is_judged(
    more: dict[str, Any], peers: list[dict[str, Any]], addresses: list[str], check: str, state: str
) -> None:
    found = by_check(ailments.of_a_node({**STATUS, **more}, peers, addresses))[check]
    assert found.state == state and bool(found.do) == (state != OK)


def test_the_bundle_has_the_findings_and_nobodys_names_addresses_or_ids(
    home: Path, node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ContactLink(bytes(32), bytes(32), bytes(16), 20_000, ("ws://192.168.77.4:7118",))
    node.answers |= {
        "profile_get": {"link": encode_contact(link)},
        "node_status": {
            **STATUS,
            "username": "alice",
            "user_id": "c1c1c1c1-0000-8000-8000-000000000001",
            "seq": 7,
            "addresses": ["ws://192.168.77.4:7118"],
            "log_epoch": "c1c1c1c1-0000-8000-8000-000000000002",
        },
        "peer_list": {
            "peers": [{"peer": "ab" * 32, "address": "ws://carol.example:1", "state": "up", "rtt_ms": 3}]
        },
        "dialect_list": {
            "dialects": [
                {"dialect": "003", "enabled": True, "state": "on", "address": "http://carol.example"}
            ]
        },
    }
    node.hello["connectivity"] = "synced"
    monkeypatch.setattr(doctor, "connected", doctor_connects(node))
    monkeypatch.setattr(ailments, "running", lambda _home: 1)
    (home / "config.toml").write_text('name = "alice"\npeers = ["ws://carol.example:1"]\nlisten = "off"\n')
    (home / "config.toml").chmod(0o600)
    (home / "gossamer.log").write_text(
        "refused a page of origin https://carol.example:8443\n"
        f"dialled ws://carol.example:1 192.168.77.4:7118 [fe80::1:2:3]:7118 {home} room "
        f"c1c1c1c1-0000-8000-8000-000000000003 key {'ab' * 32} {'Zm9vYmFy' * 6}\n"
    )
    (home / "gossamer.log").chmod(0o600)
    code, _, err = gossamer_exits("doctor", "--bundle", str(home / "bundle.json"))
    text = (home / "bundle.json").read_text()
    assert code == 0 and "read it" in err and (home / "bundle.json").stat().st_mode & 0o777 == 0o600
    for secret in ("alice", "carol", "192.168", "fe80", str(home), "c1c1c1c1", "abab", "Zm9v"):
        assert secret not in text
    assert json.loads(text)["node_status"] == {**STATUS, "seq": 7}
    assert json.loads(text)["peers"] == [{"state": "up", "rtt_ms": 3}] and "dialled" in text
    assert gossamer_exits("doctor", "--bundle", str(home / "bundle.json"))[0] == 7


def test_a_dialect_that_does_not_listen_is_found_with_what_to_do() -> None:
    off = {"dialect": "001", "enabled": False, "state": "off", "why": None, "address": None}
    on = {"dialect": "002", "enabled": True, "state": "on", "why": None, "address": "http://127.0.0.1:7117"}
    failed = {**on, "dialect": "004", "state": "failed", "why": "port 3000: Address already in use"}
    found = list(ailments.of_dialects([off, on, failed]))
    assert [(one.state, one.check) for one in found] == [(ailments.OK, "dialect"), (ailments.FAIL, "dialect")]
    assert "3000" in found[1].text and "gossamer bridge enable 004" in found[1].do


def doctor_connects(node: Scripted) -> Callable[..., Any]:
    from contextlib import asynccontextmanager

    from node.commandline import asking

    @asynccontextmanager
    async def connected(app: Any, **_: Any) -> Any:
        yield asking.Node(app, node)  # type: ignore[arg-type]  # it has the two methods that are used

    return connected


DOWN = {"peer": None, "address": "ws://carol.example:1", "direction": "out", "state": "down", "retry_s": 3.0}


@pytest.mark.parametrize(
    ("trouble", "do"),
    [
        ("another network or secret", "--network-secret"),
        ("its certificate is not trusted: self-signed certificate", "peer_ca"),
        ("its certificate is not trusted: it is made out to another host", "by the name"),
        ("refused: nothing listens there", "if their node runs"),
        ("no answer", "forward the port"),
        ("the link ended: the peer left: refused", "refuses yours for an hour"),
        ("the link ended: refused for its faults", "your node refuses it"),
        ("the peer left: protocol", "update the older one"),
        ("the peer left: full", "add another peer"),
        ("something new", "tried again by itself"),
    ],
)
def test_a_peer_that_fails_is_told_of_with_what_to_do(trouble: str, do: str) -> None:
    found = ailments.of_a_node(STATUS, [{**DOWN, "last_error": trouble}], ["ws://8.8.8.8:1"])
    one = by_check(found)["peer"]
    assert one.state == WARN and "carol.example" in one.text and trouble in one.text and do in one.do


def test_of_many_peers_that_fail_a_few_are_named_and_the_rest_counted() -> None:
    rows = [{**DOWN, "last_error": "no answer"} for _ in range(9)] + [{**DOWN, "last_error": None}]
    found = [one for one in ailments.of_a_node(STATUS, rows, []) if one.check == "peer"]
    assert len(found) == 6 and found[-1].text == "and 4 more"


def test_a_contact_who_is_off_is_no_ailment_while_there_are_links() -> None:
    off = {**DOWN, "last_error": "no answer", "source": "contact"}
    live = {**DOWN, "state": "live"}
    assert "peer" in by_check(ailments.of_a_node(STATUS, [off], []))
    assert "peer" not in by_check(ailments.of_a_node(STATUS, [off, live], []))
    assert "peer" in by_check(ailments.of_a_node(STATUS, [{**off, "source": "configured"}, live], []))


@pytest.mark.parametrize(
    ("status", "addresses", "closed"),
    [
        ({"uptime_s": 3600, "came_in": 0}, ["ws://8.8.8.8:1"], True),
        ({"uptime_s": 3600, "came_in": 1}, ["ws://8.8.8.8:1"], False),
        ({"uptime_s": 60, "came_in": 0}, ["ws://8.8.8.8:1"], False),
        ({"uptime_s": 3600, "came_in": 0}, ["ws://192.168.1.2:1"], False),
    ],
)
def test_a_node_that_listens_and_to_which_nobody_ever_came_is_told_so(
    status: dict[str, Any], addresses: list[str], closed: bool
) -> None:
    rows = [{"state": "live", "direction": "out"}]
    reach = by_check(ailments.of_a_node({**STATUS, **status}, rows, addresses))["reach"]
    assert ("nobody has dialled" in reach.text and "forward the mesh port" in reach.do) == closed


def test_a_network_secret_that_others_can_read_fails(home: Path) -> None:
    (home / "config.toml").write_text('listen = "off"\nbridge = "127.0.0.1:0"\nnetwork_secret = "../net"\n')
    secret = home.parent / "net"
    secret.write_text("ab" * 32)
    for mode, state in ((0o644, FAIL), (0o600, OK)):
        secret.chmod(mode)
        found = by_check(ailments.of_home(home))["network secret"]
        assert found.state == state and "abab" not in found.text


@pytest.mark.parametrize("key", ["listen_cert", "listen_key", "peer_ca"])
def test_a_certificate_that_cannot_be_read_is_told(home: Path, key: str) -> None:
    (home / "config.toml").write_text(f'{key} = "nowhere.pem"\n')
    assert by_check(ailments.of_home(home))["settings"].state == FAIL


def test_any_failure_is_the_exit_code(home: Path, gossamer_exits: Exits) -> None:
    (home / "config.toml").write_text("nmae = 1\n")
    code, out, _ = gossamer_exits("--json", "doctor")
    assert code == 1
    assert {f["check"]: f["state"] for f in json.loads(out)["findings"]}["settings"] == FAIL


def test_a_folder_of_attachments_that_is_none_or_nearly_full_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_check(ailments.of_home(home))["attachments"].state == "ok"
    (home / "attachments").mkdir(mode=0o700)
    (home / "attachments" / ("ab" * 32)).write_bytes(b"x" * 1000)
    monkeypatch.setattr(ailments, "QUOTA", ailments.LITTLE_ROOM + 999)
    assert by_check(ailments.of_home(home))["attachments"].state == "warn"
    (home / "attachments").rename(home / "elsewhere")
    (home / "attachments").symlink_to(home / "elsewhere")
    assert by_check(ailments.of_home(home))["attachments"].state == "fail"


def test_the_bundle_names_no_file_of_the_owners(home: Path, gossamer_exits: Callable[..., Any]) -> None:
    (home / "my secret.txt").write_bytes(b"x")
    (home / "audit.log.1").write_bytes(b"xyz")
    bundle = home.parent / f"{home.name}.json"
    gossamer_exits("doctor", "--bundle", str(bundle))
    assert "my secret" not in bundle.read_text()
    told = json.loads(bundle.read_text())
    assert (told["files"]["audit.log.1"], told["others"]) == (3, 1)
