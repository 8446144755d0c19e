from __future__ import annotations

from pathlib import Path

import pytest

from node.config import KEYS, Endpoint, Settings, home_of, load, parse_endpoint
from node.errors import Refused


def settings(home: Path, toml: str = "", env: dict[str, str] | None = None, **flags: object) -> Settings:
    (home / "config.toml").write_text(toml)
    return load(home, flags, env or {})


def test_nothing_said_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, {}, {}) == Settings(home=tmp_path)
    assert str(Settings(home=tmp_path).bridge) == "127.0.0.1:7117"
    assert str(Settings(home=tmp_path).listen) == "[::]:7118"


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    toml, env = (
        'name = "file"\nlog_level = "debug"\nrelay = true',
        {"GOSSAMER_NAME": "env", "GOSSAMER_LOG_LEVEL": "error"},
    )
    found = settings(tmp_path, toml, env, name="flag")
    assert (found.name, found.log_level, found.relay) == ("flag", "error", True)


def test_every_key_can_come_from_the_file_and_from_the_environment(tmp_path: Path) -> None:
    toml = """
name = "alice"
bridge = "[::1]:0"
listen = "off"
peers = ["ws://a:1", "wss://b.example", "ws://a:1"]
relay = true
network_secret = "net.key"
log_level = "warning"
hold_mib = 64
passphrase_file = "/p"
open = true
bridge_hosts = ["chat.example", "BOX:80"]
fetch_mib = 40
lan = true
announce = ["wss://chat.example/mesh"]
listen_cert = "cert.pem"
listen_key = "key.pem"
peer_ca = "/etc/ca.pem"
"""
    want = Settings(
        home=tmp_path,
        name="alice",
        bridge=Endpoint("::1", 0, given=True),
        listen=None,
        peers=("ws://a:1", "wss://b.example"),
        relay=True,
        network_secret=tmp_path / "net.key",
        log_level="warning",
        hold_mib=64,
        passphrase_file=Path("/p"),
        open=True,
        bridge_hosts=("chat.example", "box:80"),
        fetch_mib=40,
        lan=True,
        announce=("wss://chat.example/mesh",),
        listen_cert=tmp_path / "cert.pem",
        listen_key=tmp_path / "key.pem",
        peer_ca=Path("/etc/ca.pem"),
    )
    assert settings(tmp_path, toml) == want
    env = {
        "GOSSAMER_NAME": "alice",
        "GOSSAMER_BRIDGE": "[::1]:0",
        "GOSSAMER_LISTEN": "off",
        "GOSSAMER_PEERS": "ws://a:1, wss://b.example",
        "GOSSAMER_RELAY": "yes",
        "GOSSAMER_NETWORK_SECRET": str(tmp_path / "net.key"),
        "GOSSAMER_LOG_LEVEL": "WARNING",
        "GOSSAMER_PASSPHRASE_FILE": "/p",
        "GOSSAMER_OPEN": "1",
        "GOSSAMER_BRIDGE_HOSTS": "Chat.example, box:80",
        "GOSSAMER_FETCH_MIB": "40",
        "GOSSAMER_LAN": "on",
        "GOSSAMER_ANNOUNCE": "wss://chat.example/mesh",
        "GOSSAMER_LISTEN_CERT": str(tmp_path / "cert.pem"),
        "GOSSAMER_LISTEN_KEY": str(tmp_path / "key.pem"),
        "GOSSAMER_PEER_CA": "/etc/ca.pem",
        "GOSSAMER_HOLD_MIB": "64",
    }
    assert {f"GOSSAMER_{key.upper()}" for key in KEYS} == set(env)
    assert settings(tmp_path, "", env) == want


def test_a_relay_holds_more_for_others_unless_told(tmp_path: Path) -> None:
    quotas = [settings(tmp_path, text).quota >> 20 for text in ("", "relay = true", "hold_mib = 20")]
    assert quotas == [512, 8192, 20]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('nmae = "x"', "did you mean 'name'"),
        ("fetch_mib = 65", "0 to 64"),
        ('fetch_mib = "much"', "0 to 64"),
        ("fetch_mib = true", "0 to 64"),
        ("zzz = 1", "known are name"),
        ('log_level = "inf"', "did you mean 'info'"),
        ('bridge = "0.0.0.0:7117"', "not this machine"),
        ('bridge = "127.0.0.1:99999"', "no port"),
        ('listen = "::1:5"', "brackets"),
        ('peers = ["http://a"]', "no peer address"),
        ("peers = [1]", "a list"),
        ("relay = 3", "true or false"),
        (f"announce = {[f'ws://a:{n}' for n in range(1, 6)]}", "at most 4"),
        ('announce = ["ws://bücher.example"]', "do not dial"),
        ("hold_mib = 15", "16 to 1048576"),
        ('hold_mib = "much"', "whole number"),
        ("hold_mib = true", "whole number"),
        ("hold_mib = 99.5", "whole number"),
        ("name = 3", "1 to 32"),
        (f'name = "{"x" * 33}"', "1 to 32"),
        ("name = ", "not TOML"),
        ("#" * 70_000, "cannot be ours"),
    ],
)
def test_what_cannot_be_is_an_error_that_says_what_may(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(Refused, match=said) as fault:
        settings(tmp_path, toml)
    assert fault.value.code == "invalid_config"


@pytest.mark.parametrize(
    "raw",
    [bytes(range(32)), bytes(range(32)).hex().encode(), b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"],
)
def test_a_network_secret_is_32_bytes_raw_hex_or_base64(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "net").write_bytes(raw)
    assert settings(tmp_path, 'network_secret = "net"').network_key() == bytes(range(32))


@pytest.mark.parametrize("raw", [b"", b"short", b"x" * 33, b"zz" * 32])
def test_a_network_secret_of_another_size_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "net").write_bytes(raw)
    with pytest.raises(Refused, match="32 bytes"):
        settings(tmp_path, 'network_secret = "net"').network_key()


def test_a_passphrase_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"correct horse\r\nnot this\n")
    assert settings(tmp_path, passphrase_file=str(tmp_path / "p")).passphrase() == b"correct horse"
    (tmp_path / "p").write_bytes(b"\n")
    with pytest.raises(Refused, match="empty"):
        settings(tmp_path, passphrase_file=str(tmp_path / "p")).passphrase()
    with pytest.raises(Refused, match="cannot be read"):
        settings(tmp_path, passphrase_file=str(tmp_path / "none")).passphrase()


def test_the_home_is_the_flag_s_else_the_variable_s_else_the_platform_s() -> None:
    assert home_of("/a", {"GOSSAMER_HOME": "/b"}) == Path("/a")
    assert home_of(None, {"GOSSAMER_HOME": "/b"}) == Path("/b")
    assert home_of(None, {}).name == "gossamer"
    assert home_of("x", {}).is_absolute()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:80", Endpoint("127.0.0.1", 80, given=True)),
        ("[::]:0", Endpoint("::", 0, given=True)),
        ("localhost", Endpoint("localhost", 9)),
        (":5", Endpoint("127.0.0.1", 5, given=True)),
    ],
)
def test_an_endpoint_is_host_and_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, 9) == endpoint
