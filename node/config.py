"""The settings of one node: what they are, where they come from, and what is refused.

A flag beats the environment (`GOSSAMER_*`), which beats `config.toml` in the home, which beats the
default (docs/operations.md lists every key). An unknown key is an error that names the likely one.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from node.errors import Refused
from node.mesh.limits import may_be_named

if TYPE_CHECKING:
    from node.mesh.certificates import Certificates

CONFIG_FILE = "config.toml"
BRIDGE_PORT = 7117
MESH_PORT = 7118
SECRET_BYTES = 32
HOLD_MIB, HOLD_MIB_RELAY = 512, 8192
"""What is held for others by default: a person's disk does not notice; a relay is there to hold."""
MIN_HOLD_MIB, MAX_HOLD_MIB = 16, 1 << 20
"""The least leaves room for what one node brings a day; the most is a TiB, more than anybody meant."""
MAX_CONFIG_BYTES = 65_536  # ours is a page; anything longer is another file by mistake
MAX_PORT = 65_535
MAX_FETCH_MIB = 64
MAX_ANNOUNCED = 4  # what a HELLO, a node record and a contact link have room for
LOG_LEVELS = ("debug", "info", "warning", "error")
ENV_PREFIX = "GOSSAMER_"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen; `given`: a person chose the port, so if it is taken no other is tried."""

    host: str
    port: int
    given: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `gossamer run` can be told; each field but `home` is a key of config.toml.

    Attachments above 1 MiB come by themselves up to `fetch_mib` MiB, larger ones when they are asked for.
    `listen` is None under `off`: the node then only dials. `network_secret`, `passphrase_file` and the three
    of `wss://` are paths; what they hold is never a setting and is read where it is used. `announce` is told
    to others instead of the addresses of this machine.
    """

    home: Path
    name: str | None = None
    bridge: Endpoint = Endpoint("127.0.0.1", BRIDGE_PORT)
    listen: Endpoint | None = Endpoint("::", MESH_PORT)
    peers: tuple[str, ...] = ()
    relay: bool = False
    network_secret: Path | None = None
    log_level: str = "info"
    passphrase_file: Path | None = None
    open: bool = False
    bridge_hosts: tuple[str, ...] = ()
    fetch_mib: int = 16
    lan: bool = False
    announce: tuple[str, ...] = ()
    listen_cert: Path | None = None
    listen_key: Path | None = None
    peer_ca: Path | None = None
    hold_mib: int | None = None

    @property
    def quota(self) -> int:
        """Bytes that may be held for others."""
        default = HOLD_MIB_RELAY if self.relay else HOLD_MIB
        return (default if self.hold_mib is None else self.hold_mib) << 20

    def network_key(self) -> bytes | None:
        """Return the 32 bytes of the network secret, or None on the public network; raises Refused."""
        return None if self.network_secret is None else _read_secret(self.network_secret)

    def certificates(self) -> Certificates:
        """Return what wss:// needs, read from the files that the settings name; raises Refused."""
        from node.mesh.certificates import Certificates

        if self.listen_key is not None and self.listen_cert is None:
            raise _invalid("listen_key", "listen_key is of no use without listen_cert")
        return Certificates(cert=self.listen_cert, key=self.listen_key, authority=self.peer_ca)

    def passphrase(self) -> bytes | None:
        """Return the first line of the passphrase file, or None if there is none; raises Refused."""
        if self.passphrase_file is None:
            return None
        line = _read_file(self.passphrase_file, "passphrase_file").split(b"\n", 1)[0].rstrip(b"\r")
        if not line:
            raise _invalid("passphrase_file", f"{self.passphrase_file} is empty")
        return line


KEYS: tuple[str, ...] = tuple(f.name for f in fields(Settings) if f.name != "home")
"""Every key that config.toml and, as `GOSSAMER_` and the key in capitals, the environment may carry."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One layer of settings: what to call it in an error, values by key, where its relative paths start."""

    what: str
    values: Mapping[str, object]
    base: Path = field(default_factory=Path)


def home_of(flag: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the home in force, absolute: `--home`, GOSSAMER_HOME, or the platform's data directory."""
    env = os.environ if environ is None else environ
    chosen = flag or env.get(f"{ENV_PREFIX}HOME") or platformdirs.user_data_path("gossamer", appauthor=False)
    return Path(os.path.abspath(Path(chosen).expanduser()))  # noqa: PTH100 - resolve() would follow links


def load(
    home: Path, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of `home`, flags over environment over config.toml over defaults.

    Raises:
        Refused: `invalid_config` on an unknown key or a value that cannot be; says which and what may be.
    """
    merged: dict[str, Any] = {}
    for layer in _layers(home, flags, environ):
        for key, value in layer.values.items():
            merged[key] = _read(key, value, layer)
    return Settings(home=home, **merged)


def sources(home: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return where each key's value comes from: `default`, the file, or the environment; raises Refused."""
    found = dict.fromkeys(KEYS, "default")
    for layer in _layers(home, None, environ):
        found |= dict.fromkeys(layer.values, layer.what)
    return found


def _layers(
    home: Path, flags: Mapping[str, object] | None, environ: Mapping[str, str] | None
) -> tuple[_Source, ...]:
    env = os.environ if environ is None else environ
    file = home / CONFIG_FILE
    return (
        _Source(str(file), _from_file(file), home),
        _Source("the environment", _from_environment(env)),
        _Source("the command line", {k: v for k, v in (flags or {}).items() if v is not None}),
    )


def _from_file(path: Path) -> dict[str, object]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise _invalid(None, f"{path} cannot be read: {exc.strerror}") from exc
    return parse(raw, path)


def parse(raw: bytes, path: Path) -> dict[str, object]:
    """Return the keys of a config.toml, values as they stand; raises Refused for what is none of ours."""
    if len(raw) > MAX_CONFIG_BYTES:
        raise _invalid(None, f"{path} is over {MAX_CONFIG_BYTES} bytes: it cannot be ours")
    try:
        table = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _invalid(None, f"{path} is not TOML: {exc}") from exc
    for key in table:
        if key not in KEYS:
            raise _invalid(key, f"{path}: unknown key {key!r}{suggest(key, KEYS)}")
    return table


def _from_environment(env: Mapping[str, str]) -> dict[str, object]:
    named = {key: env.get(ENV_PREFIX + key.upper(), "") for key in KEYS}
    return {key: value for key, value in named.items() if value}


def _read(key: str, value: object, source: _Source) -> object:
    """Return `value` as the type that `key` has in Settings."""
    try:
        match key:
            case "bridge":
                return _bridge(str(value))
            case "listen":
                return parse_listen(str(value))
            case "peers":
                return _peers(value)
            case "announce":
                return _announced(value)
            case "bridge_hosts":
                return _hosts(value)
            case "relay" | "open" | "lan":
                return _switch(value)
            case "network_secret" | "passphrase_file" | "listen_cert" | "listen_key" | "peer_ca":
                return source.base / Path(str(value)).expanduser()
            case "fetch_mib":
                return _mib(value, 0, MAX_FETCH_MIB)
            case "log_level":
                return _level(str(value))
            case "name":
                return _name(value)
            case "hold_mib":
                return _mib(value, MIN_HOLD_MIB, MAX_HOLD_MIB)
            case _:
                raise AssertionError(key)
    except ValueError as exc:
        raise _invalid(key, f"{source.what}: {key}: {exc}") from exc


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 32:
        raise ValueError("a name has 1 to 32 characters")
    return value


def _mib(value: object, least: int, most: int) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,7}", text) or not least <= int(text) <= most:
        raise ValueError(f"a whole number of MiB is needed, {least} to {most}")
    return int(text)


def _level(value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        near = suggest(value, LOG_LEVELS)
        raise ValueError(f"{value!r} is not one of {', '.join(LOG_LEVELS)}{near if 'mean' in near else ''}")
    return value.lower()


def _switch(value: object) -> bool:
    match value:
        case bool():
            return value
        case str() if value.lower() in ("1", "true", "yes", "on"):
            return True
        case str() if value.lower() in ("0", "false", "no", "off"):
            return False
        case _:
            raise ValueError("true or false is needed")


def _peers(value: object) -> tuple[str, ...]:
    listed = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(v, str) for v in listed):
        raise ValueError("a list of ws:// or wss:// addresses is needed")
    return tuple(dict.fromkeys(parse_peer(v) for v in listed if v))


def _announced(value: object) -> tuple[str, ...]:
    found = _peers(value)
    if len(found) > MAX_ANNOUNCED:
        raise ValueError(f"at most {MAX_ANNOUNCED} addresses are told to others")
    for address in found:
        if not may_be_named(address):
            raise ValueError(f"{address!r} is an address that others do not dial on anybody's word")
    return found


def _hosts(value: object) -> tuple[str, ...]:
    listed = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise ValueError("a list of host names is needed")
    for name in listed:
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?", name):
            raise ValueError(f"{name!r} is no host name")
    return tuple(dict.fromkeys(name.lower() for name in listed))


def parse_peer(text: str) -> str:
    """Return a peer's address as it is dialled, `ws://HOST:PORT` or `wss://…`; raises ValueError."""
    found = re.fullmatch(r"wss?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?(?:/[^\s?#]*)?", text)
    if found is None or not 0 < int(found[1] or 1) <= MAX_PORT:
        raise ValueError(f"{text!r} is no peer address: ws://HOST:{MESH_PORT} or wss://HOST[:PORT] is needed")
    return text


def _bridge(text: str) -> Endpoint:
    at = parse_endpoint(text, BRIDGE_PORT)
    if not is_loopback(at.host):
        raise ValueError(f"{at.host} is not this machine: the bridge serves 127.0.0.1, ::1 or localhost only")
    return at


def parse_listen(text: str) -> Endpoint | None:
    """Return where the mesh listens, None for `off`; raises ValueError with the cause."""
    return None if text.lower() == "off" else parse_endpoint(text, MESH_PORT)


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """Read `HOST:PORT`, `[V6]:PORT`, `HOST` or `:PORT`; port 0 lets the system pick; raises ValueError."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]]*))(?::(\d{1,5}))?", text.strip())
    if found is None or not text.strip():
        raise ValueError(f"{text!r} is not HOST:PORT (an IPv6 host stands in brackets: [::1]:{default_port})")
    host, port = found[1] or found[2] or "127.0.0.1", found[3]
    if host.isdecimal():  # the system would take it for an address of one number
        raise ValueError(f"{text!r} has no host: HOST:PORT, as 127.0.0.1:{default_port}, is needed")
    if port is not None and int(port) > MAX_PORT:
        raise ValueError(f"{port} is no port: 0 to {MAX_PORT}")
    return Endpoint(host, default_port if port is None else int(port), given=port is not None)


def is_loopback(host: str) -> bool:
    """Say whether `host` can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_secret(path: Path) -> bytes:
    """Return 32 bytes from a file that holds them raw, as hex or as base64."""
    raw = _read_file(path, "network_secret")
    if len(raw) == SECRET_BYTES:
        return raw
    text = raw.strip().decode("ascii", "replace")
    for read in (bytes.fromhex, lambda t: base64.b64decode(t.replace("-", "+").replace("_", "/") + "==")):
        try:
            secret = read(text)
        except (ValueError, binascii.Error):
            continue
        if len(secret) == SECRET_BYTES:
            return secret
    raise _invalid("network_secret", f"{path} does not hold 32 bytes (raw, hex or base64)")


def _read_file(path: Path, key: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES)
    except OSError as exc:
        raise _invalid(key, f"{path} cannot be read: {exc.strerror}") from exc


def suggest(word: str, known: tuple[str, ...]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest known word, or what there is if none is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else f"; known are {', '.join(known)}"


def _invalid(key: str | None, message: str) -> Refused:
    return Refused("invalid_config", message, field=key)
