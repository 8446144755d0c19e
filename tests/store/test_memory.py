from __future__ import annotations

from node.store.memory import MemoryStore
from node.store.records import AppendEvent, DropEnvelopes, Put, PutMessage, Table
from tests.store.samples import held


def test_a_restored_snapshot_forgets_what_came_later_and_can_be_restored_again() -> None:
    store = MemoryStore("epoch")
    store.commit(
        [Put(Table.SELF, b"a", b"1"), PutMessage(b"r" * 16, b"m" * 16, 1, b"x"), AppendEvent(1, 1, b"e")]
    )
    snapshot = store.snapshot()
    for _ in range(2):
        store.commit([Put(Table.SELF, b"a", b"2"), PutMessage(b"r" * 16, b"n" * 16, 2, b"y")])
        store.commit([AppendEvent(2, 2, b"f")])
        store.restore(snapshot)
        assert store.load().rows[Table.SELF] == {b"a": b"1"}
        assert store.history(b"r" * 16, None, None, 9) == ([b"x"], False)
        assert (store.last_seq, store.load().log_epoch) == (1, "epoch")


def test_a_snapshot_shows_nothing_of_what_it_holds() -> None:
    store = MemoryStore()
    store.commit([Put(Table.SELF, b"a", b"very secret")])
    assert "very secret" not in repr(store.snapshot())


def test_dropped_envelopes_leave_a_snapshot_untouched() -> None:
    store = MemoryStore()
    store.commit([held(b"a"), held(b"b", ts_ms=5)])
    snapshot = store.snapshot()
    store.commit([DropEnvelopes((held(b"a").eid,))])
    assert [ts for _, ts, _ in store.load().envelopes] == [5]
    store.restore(snapshot)
    assert [ts for _, ts, _ in store.load().envelopes] == [5, 1_000]
