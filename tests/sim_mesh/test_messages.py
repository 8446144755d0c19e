from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.crypto.channel import verify_envelope
from node.mesh.ports import ByIds, ByTime
from node.sim_mesh.messages import Author, Messages
from node.wire.envelope import OVERHEAD


def filled(times: list[int]) -> Messages:
    author, messages = Author("1", rooms=2, size=300), Messages(3)
    for ts_ms in times:
        messages.add(author.write(ts_ms), 0, ts_ms / 1000, counted=True)
    return messages


def test_envelopes_are_genuine_and_of_their_size_class() -> None:
    for size, box in ((1, 512), (511, 512), (512, 1024), (32_767, 32_768)):
        envelope = Author("1", rooms=3, size=size).write(5)
        assert len(envelope.raw) == box + OVERHEAD
        verify_envelope(envelope)
    author = Author("1", rooms=3, size=30)
    assert len({author.write(5).rk for _ in range(30)}) == 3


def test_an_envelope_that_comes_to_the_application_twice_is_noticed() -> None:
    messages = filled([5])
    eid = messages.all[0].envelope.eid
    messages.arrived(eid, 1, 0, 0.1)
    messages.arrived(eid, 2, 1, 0.2)
    assert list(messages.all[0].hops) == [0, 1, 2]
    with pytest.raises(AssertionError):
        messages.arrived(eid, 1, 2, 0.3)


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 50), st.integers(0, 50), st.integers(0, 4))
def test_a_store_is_read_in_pages_in_order_of_time_and_id(
    times: list[int], t0: int, t1: int, page_of: int
) -> None:
    messages = filled(times)
    have = [m.envelope for place, m in enumerate(messages.all) if place % 2]
    for envelope in have:
        messages.arrived(envelope.eid, 1, 0, 1.0)
    found: list[bytes] = []
    after, more = None, True
    while more:
        page, more = messages.read(1, ByTime(t0, t1, after, page_of * 659))
        assert len(page) <= max(page_of, 1)
        found += page
        if page:
            last = next(e for e in have if e.raw == page[-1])
            after = (last.ts_ms, last.eid)
    assert found == [e.raw for e in sorted(have, key=lambda e: (e.ts_ms, e.eid)) if t0 <= e.ts_ms < t1]
    assert {eid for eid, *_ in messages.stored(1)} == {e.eid for e in have}


def test_reads_by_id_leave_out_what_a_node_has_not() -> None:
    messages = filled([1, 2])
    one, two = (m.envelope for m in messages.all)
    messages.arrived(two.eid, 1, 0, 1.0)
    ids = ByIds((one.eid[:16], two.eid[:16], bytes(16)), 65_536)
    assert messages.read(1, ids) == ((two.raw,), False)
    assert messages.read(0, ids) == ((one.raw, two.raw), False)
