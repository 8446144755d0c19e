"""What a peer may cost us: rates, half-open links, faults, refusal (docs/protocol.md section 8)."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAX_LINKS = 64
"""Live links: each costs up to 6 MiB of queues."""
MAX_LINKS_RELAY = 256
"""Of a relay, which is there for many that cannot be dialled; few of their queues are ever full at once."""
MAX_HALF_OPEN = 64
"""Inbound links without a proven key: the oldest makes room for a new one."""
MAX_HALF_OPEN_SUBNET = 8
"""Of these from one public /24 (IPv6: /48), so that one network cannot push out all others."""
BUDGET_STRANGER = 200
"""Live envelopes a second from a node we have no reason to trust: a busy room is below 20."""
BUDGET_TRUSTED = 10_000
"""From nodes that the owner named, contacts' nodes, this machine and its private networks."""
BYTES_PER_UNIT = 5_243
"""A larger envelope counts as several: 200 a second are 1 MiB a second."""
EPHEMERAL_SHARE = 5
"""Ephemerals take at most a fifth of a link's budget: typing never delays a message."""

INVALID_LIMIT = 5
"""Bad signatures, malformed frames, impossible sizes: no honest node sends any."""
VIOLATION_LIMIT = 20
"""Answers nobody asked for and the like: an honest node can slip now and then."""
SLOW_LIMIT = 10
"""GRAFTs that were not answered in time, so that a peer is announced to and asked last for a while."""
HALF_LIFE = 600.0
REFUSE_FOR = 3600.0
MAX_SCORED = 1024
"""Node keys whose faults are remembered; the one least recently at fault is forgotten first."""


class TokenBucket:
    """A rate, with a burst of one second unless told."""

    __slots__ = ("_at", "_burst", "_tokens", "rate")

    def __init__(self, rate: float, *, now: float, burst: float | None = None) -> None:
        self.rate = rate
        self._tokens = self._burst = rate if burst is None else burst
        self._at = now

    def left(self, *, now: float) -> float:
        """Return how many units are there."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
        return self._tokens

    def take(self, cost: float, *, now: float) -> bool:
        """Take `cost` units if they are there."""
        if self.left(now=now) < cost:
            return False
        self._tokens -= cost
        return True


def envelope_cost(size: int) -> float:
    """Return how many units of a budget an envelope of `size` bytes takes."""
    return max(1.0, size / BYTES_PER_UNIT)


@dataclass(slots=True)
class _Score:
    invalid: float = 0.0
    violation: float = 0.0
    slow: float = 0.0
    at: float = 0.0
    refused_until: float = 0.0


class Scores:
    """Faults by node key, halved every 10 minutes."""

    def __init__(self) -> None:
        self._scores: OrderedDict[bytes, _Score] = OrderedDict()

    def invalid(self, key: bytes, *, now: float) -> bool:
        """Count something that no honest node sends; True if the peer is refused from now on."""
        score = self._faded(key, now)
        score.invalid += 1
        return self._judge(score, now)

    def violation(self, key: bytes, *, now: float) -> bool:
        """Count a breach of manners; True if the peer is refused from now on."""
        score = self._faded(key, now)
        score.violation += 1
        return self._judge(score, now)

    def slow(self, key: bytes, *, now: float) -> bool:
        """Count an answer that came late or not; True, and count anew, if it is time to rely on others."""
        score = self._faded(key, now)
        score.slow += 1
        if score.slow <= SLOW_LIMIT - 0.5:
            return False
        score.slow = 0.0
        return True

    def refuses(self, key: bytes, *, now: float) -> bool:
        """Whether this node is shut out at the moment."""
        score = self._scores.get(key)
        return score is not None and now < score.refused_until

    def _faded(self, key: bytes, now: float) -> _Score:
        score = self._scores.pop(key, None) or _Score(at=now)
        faded = 0.5 ** ((now - score.at) / HALF_LIFE)
        score.invalid *= faded
        score.violation *= faded
        score.slow *= faded
        score.at = now
        self._scores[key] = score
        if len(self._scores) > MAX_SCORED:
            self._scores.popitem(last=False)
        return score

    def _judge(self, score: _Score, now: float) -> bool:
        # counters fade between two faults of one burst, so compare with a little slack
        if score.invalid > INVALID_LIMIT - 0.5 or score.violation > VIOLATION_LIMIT - 0.5:
            score.refused_until = now + REFUSE_FOR
            return True
        return False


def host_of(remote: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address of `host:port` or `[v6]:port`; None for a name."""
    host = remote.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host or remote)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_near(remote: str) -> bool:
    """Whether a remote is this machine or a private network, where rules by address make no sense."""
    address = host_of(remote)
    return address is not None and (address.is_loopback or address.is_private or address.is_link_local)


def is_loopback(remote: str) -> bool:
    """Whether a remote is this machine."""
    address = host_of(remote)
    return address is not None and address.is_loopback


def subnet_of(remote: str) -> str:
    """Return what counts as one network: the public /24 or /48 of a remote."""
    address = host_of(remote)
    if address is None:
        return remote
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


_SPELLING = re.compile(r"wss?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:/[!$-;=@-~]*)?")
_HERE = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def may_be_named(address: str) -> bool:
    """Whether to dial an address that others name, friends included: what we send there is a GET of its path.

    It holds no control characters and no query. What is in a private network is asked for nothing but `/`:
    whoever names it may mean somebody else's device there.
    """
    if _SPELLING.fullmatch(address) is None:
        return False
    authority = authority_of(address)
    if not 0 < int(authority.rpartition(":")[2]) < 65_536:
        return False
    return address.partition("://")[2].partition("/")[2] == "" or not is_near(authority)


def is_public(address: str) -> bool:
    """Whether to dial an address that a stranger names: well spelled, and not in anybody's private network.

    A name without a dot is one of the own network. What a name stands for is looked at once more when it is
    dialled (`node.mesh.transport`).
    """
    if not may_be_named(address):
        return False
    authority = authority_of(address)
    host = host_of(authority)
    if host is not None:
        return host.is_global and not host.is_multicast
    name = authority.rpartition(":")[0].lower().rstrip(".")
    return "." in name and not name.endswith(_HERE) and not name.replace(".", "").isdigit()


def is_spelled(address: str) -> bool:
    """Whether an address is one at all: `ws://host:port/path` or `wss://…`, without a user."""
    return _SPELLING.fullmatch(address) is not None


def asks_more(address: str) -> bool:
    """Whether a dial asks for a page: what another names so may be no node, but a device in our network."""
    return address.partition("://")[2].partition("/")[2] != ""


def network_of(remote: str) -> str:
    """Return what one person is likely to own: the network of an address, or the domain of a name."""
    if host_of(remote) is not None:
        return subnet_of(remote)
    return ".".join(remote.rpartition(":")[0].lower().rstrip(".").split(".")[-2:])


def authority_of(address: str) -> str:
    """Return `host:port` of `ws://host:port/path`."""
    host = address.partition("://")[2].partition("/")[0]
    if host.endswith("]") or ":" not in host:
        host += ":443" if address.startswith("wss:") else ":80"
    return host
