"""Live envelopes while somebody catches up, over a slow link: they wait little longer than without."""

from __future__ import annotations

from bisect import bisect_left

import pytest

from node.clock import DAY_MS
from node.mesh.ports import Arrived, ByIds, ByTime, LinkBytes, LinkDrained, SyncFinished
from node.wire.envelope import Envelope
from tests.mesh.meshnet import Net, Node, envelope

MB = 1_000_000


class SlowNet(Net):
    """A net whose links carry `rate` bytes a second; what waits is reported as written when it has left."""

    rate = 2 * MB

    def __init__(self) -> None:
        super().__init__(latency=0.02)
        self.free: dict[tuple[str, int], float] = {}

    def send(self, node: Node, link: int, data: bytes) -> None:
        wire = node.wires[link]
        there, other = wire.other(link)
        gone = max(self.time, self.free.get((node.name, link), 0.0)) + len(data) / self.rate
        self.free[node.name, link] = gone
        self.later(gone - self.time, lambda: wire.open and node.put(LinkDrained(link, len(data))))
        self.later(gone - self.time + self.latency, lambda: wire.open and other.put(LinkBytes(there, data)))


class Holder(Node):
    """A node whose store is read in order without sorting it for each page."""

    rows: tuple[Envelope, ...] = ()

    def read(self, spec: ByIds | ByTime) -> tuple[tuple[bytes, ...], bool]:
        if isinstance(spec, ByIds):
            return super().read(spec)
        low = bisect_left(self.rows, spec.after or (spec.t0_ms, b""), key=lambda env: (env.ts_ms, env.eid))
        low += spec.after is not None
        page: list[bytes] = []
        for env in self.rows[low:]:
            if env.ts_ms >= spec.t1_ms:
                break
            if page and sum(map(len, page)) + len(env.raw) > spec.max_bytes:
                return tuple(page), True
            page.append(env.raw)
        return tuple(page), False


def delays(*, missing: int, burst: int = 0) -> list[float]:
    """Return how long each of 100 live envelopes took, after a burst, while so many others were fetched."""
    net = SlowNet()
    a = net.nodes["a"] = Holder(net, "a", 1)
    b = net.node("b")
    old = sorted(
        (envelope(net.rng, net.wall_ms - 7_200_000 + at, size=900) for at in range(missing)),
        key=lambda env: (env.ts_ms, env.eid),
    )
    a.rows, a.store = tuple(old), {env.eid: env for env in old}
    a.start()
    b.add(a.address)
    net.run(0.3)
    sent: dict[bytes, float] = {}
    came: dict[bytes, float] = {}
    for _ in range(burst):
        a.publish(envelope(net.rng, net.wall_ms, size=900))
    for tick in range(1_500):
        if tick % 10 == 0 and tick < 1_000:
            env = envelope(net.rng, net.wall_ms)
            sent[env.eid] = net.time
            a.publish(env)
        net.run(0.001)
        came |= {e.envelope.eid: net.time for e in b.effects if isinstance(e, Arrived)}
        b.effects.clear()
    assert missing == 0 or len(came) > 300, "it was catching up all the while"
    return sorted(came[eid] - at for eid, at in sent.items())


@pytest.mark.parametrize("rate", [MB, 2 * MB, 10 * MB])
def test_a_live_envelope_waits_at_most_50_ms_longer_beside_a_catch_up(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlowNet, "rate", rate)
    quiet, busy = delays(missing=0), delays(missing=2_500)
    assert busy[98] <= quiet[98] + 0.05


@pytest.mark.parametrize("missing", [0, 400])
def test_what_a_full_queue_left_out_comes_in_its_place_while_a_flood_goes_on(
    missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer at half the rate of a flood: what it has of it is what was said first, nearly."""
    monkeypatch.setattr(SlowNet, "rate", 400_000)
    net = SlowNet()
    a = net.nodes["a"] = Holder(net, "a", 1)
    b = net.node("b")
    a.rows = tuple(envelope(net.rng, net.wall_ms - 7_200_000 + at, size=8_000) for at in range(missing))
    a.store = {env.eid: env for env in a.rows}
    a.start()
    b.add(a.address)
    net.run(0.5)
    said: list[bytes] = []
    behind = []
    for _ in range(1_200):
        env = envelope(net.rng, net.wall_ms, size=8_000)
        said.append(env.eid)
        a.publish(env)
        net.run(0.01)
        came = {e.envelope.eid for e in b.effects if isinstance(e, Arrived)}.intersection(said)
        first_missing = next(at for at, eid in enumerate(said) if eid not in came)
        behind.append(len(came) - first_missing)
    assert len(came) > 500, "the line was full"
    assert sum(isinstance(e, SyncFinished) for e in b.effects) == (not missing), "no round had a part in it"
    assert max(behind) < 60, "what comes is what is next, but for a second of it"
    net.run(30)
    assert net.agree() and len(b.store) == 1_200 + missing


def test_a_burst_beside_a_catch_up_takes_no_longer_than_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was left out: however much waits, the catch-up gets what live envelopes leave, and no share."""
    monkeypatch.setattr(SlowNet, "rate", MB)
    quiet, busy = delays(missing=0, burst=500), delays(missing=2_500, burst=500)
    assert quiet[98] > 0.2, "it had to wait"
    assert busy[98] <= quiet[98] + 0.05


def test_two_slow_peers_share_the_days_however_long_each_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowNet, "rate", 150_000)
    net = SlowNet()
    rows = [
        envelope(net.rng, net.wall_ms - day * DAY_MS - 60_000 + at) for day in range(4) for at in range(1_000)
    ]
    rows.sort(key=lambda env: (env.ts_ms, env.eid))
    for seed, name in enumerate("ab", 1):
        holder = net.nodes[name] = Holder(net, name, seed)
        holder.rows, holder.store = tuple(rows), {env.eid: env for env in rows}
        holder.start()
    z = net.node("z")
    for name in "ab":
        z.add(f"ws://{name}:1")
    net.run(30)
    assert len(z.store) == 4_000
    assert sum(info.copies for info in z.mesh.peers(z.now)) < 4_300
