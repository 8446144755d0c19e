"""What every store must do, on disk and in memory alike."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import pytest
from msgspec import structs

from node.chat import finding
from node.errors import Refused, StoreFull
from node.store import claims, memory, records, sqlite, writer
from node.store.records import (
    KEEP_EVENTS_MS,
    AppendEvent,
    Claim,
    Delete,
    DropEnvelopes,
    DropMessage,
    ForgetGone,
    LetGo,
    Put,
    PutEnvelope,
    PutMessage,
    RewriteMessage,
    Shelf,
    Table,
    unsaid,
)
from node.store.sqlite import SqliteStore
from node.tables import ALL
from tests.store.samples import OTHER, ROOM, held, mid, said


async def test_a_new_store_is_empty_and_names_its_epoch(store: Any) -> None:
    loaded = await store.load()
    assert loaded.rows == {table: {} for table in ALL}
    assert (loaded.last_seq, loaded.first_seq, loaded.envelopes) == (0, 1, [])
    assert loaded.log_epoch == store.log_epoch
    assert len(loaded.log_epoch) == 36


async def test_rows_are_read_back_by_table_and_key(store: Any) -> None:
    await store.commit(
        [Put(Table.ROOMS, b"a", b"1"), Put(Table.PEOPLE, b"a", b"2"), Put(Table.CHAINS, b"", b"")]
    )
    rows = (await store.load()).rows
    assert (rows[Table.ROOMS], rows[Table.PEOPLE], rows[Table.CHAINS]) == (
        {b"a": b"1"},
        {b"a": b"2"},
        {b"": b""},
    )


async def test_the_last_record_about_a_row_counts(store: Any) -> None:
    await store.commit([Put(Table.SELF, b"a", b"1"), Delete(Table.SELF, b"a"), Put(Table.SELF, b"a", b"2")])
    await store.commit([Put(Table.SELF, b"b", b"1"), Delete(Table.SELF, b"b"), Delete(Table.SELF, b"never")])
    await store.commit([Put(Table.SELF, b"a", b"3")])
    assert (await store.load()).rows[Table.SELF] == {b"a": b"3"}


async def test_rows_come_back_in_the_order_of_their_first_writing(store: Any) -> None:
    for name in (b"z", b"m", b"a"):
        await store.commit([Put(Table.INVITES, name, b"")])
    await store.commit([Put(Table.INVITES, b"z", b"again")])
    assert list((await store.load()).rows[Table.INVITES]) == [b"z", b"m", b"a"]


async def test_the_event_log_pages_and_shows_messages_where_they_are_pointed_to(store: Any) -> None:
    await store.commit([AppendEvent(1, 10, b"one"), said(2), AppendEvent(2, 11, None, (ROOM, mid(2)))])
    await store.commit([AppendEvent(3, 12, b"three")])
    assert await store.events_after(0, 10) == [(1, b"one"), (2, b"text 2"), (3, b"three")]
    assert await store.events_after(1, 1) == [(2, b"text 2")]
    assert await store.events_after(3, 10) == []
    assert (store.first_seq, store.last_seq) == (1, 3)
    assert (await store.load()).last_seq == 3


async def test_a_message_written_again_stays_as_it_was(store: Any) -> None:
    await store.commit([said(1), AppendEvent(1, 1, None, (ROOM, mid(1)))])
    await store.commit([PutMessage(ROOM, mid(1), 2, b"copied id"), AppendEvent(2, 2, b"two")])
    assert await store.message(ROOM, mid(1)) == b"text 1"
    assert await store.history(ROOM, None, None, 9) == ([b"text 1"], False)


async def test_a_message_that_was_edited_is_shown_changed_everywhere(store: Any) -> None:
    await store.commit([said(1), AppendEvent(1, 1, None, (ROOM, mid(1)))])
    await store.commit([PutMessage(ROOM, mid(1), 1, b"edited", edit=True)])
    assert await store.message(ROOM, mid(1)) == b"edited"
    assert await store.events_after(0, 9) == [(1, b"edited")]
    assert await store.history(ROOM, None, None, 9) == ([b"edited"], False)


async def test_a_rewritten_message_stays_in_its_place_and_frontends_see_its_first_line(store: Any) -> None:
    await store.commit([said(1), said(2), AppendEvent(1, 1, None, (ROOM, mid(1)))])
    rewritten = b'{"message":"now"}\nours alone'
    await store.commit([RewriteMessage(ROOM, mid(1), rewritten), RewriteMessage(ROOM, mid(9), b"none")])
    assert await store.message(ROOM, mid(1)) == rewritten
    assert await store.message(ROOM, mid(9)) is None
    assert await store.events_after(0, 9) == [(1, b'{"message":"now"}')]
    assert await store.history(ROOM, None, None, 9) == ([b'{"message":"now"}', b"text 2"], False)


async def test_an_event_that_tells_of_a_message_has_the_words_of_now(store: Any) -> None:
    event = unsaid(b'{"event":"message_edited","id":"x","message":"then","mentioned":true}')
    assert b"then" not in event
    await store.commit([said(1), AppendEvent(1, 1, event, (ROOM, mid(1)))])
    await store.commit([RewriteMessage(ROOM, mid(1), b'{"message":"now"}\nours')])
    told = b'{"event":"message_edited","id":"x","message":"now"}'
    assert await store.events_after(0, 9) == [(1, told)]


async def test_what_is_put_at_an_earlier_place_comes_after_what_stands_there(store: Any) -> None:
    await store.commit([said(1), said(2), said(3)])
    await store.commit([PutMessage(ROOM, mid(7), 2, b"late")])
    await store.commit([PutMessage(ROOM, mid(2), 2, b"edited", edit=True)])
    assert (await store.history(ROOM, None, None, 9))[0] == [b"text 1", b"edited", b"late", b"text 3"]


async def test_a_message_that_is_dropped_is_gone_from_the_history_alone(store: Any) -> None:
    await store.commit([said(1), AppendEvent(1, 1, b"its event"), said(2), said(1, OTHER)])
    await store.commit([DropMessage(ROOM, mid(1)), DropMessage(ROOM, mid(9))])
    assert await store.history(ROOM, None, None, 9) == ([b"text 2"], False)
    assert await store.message(ROOM, mid(1)) is None
    assert await store.message(OTHER, mid(1)) == b"text 1"
    assert await store.events_after(0, 9) == [(1, b"its event")]


async def test_history_pages_backwards_forwards_and_from_the_end(store: Any) -> None:
    await store.commit([said(n) for n in range(1, 8)] + [said(n, OTHER) for n in range(8, 10)])
    text = {n: b"text %d" % n for n in range(1, 10)}
    assert await store.history(ROOM, None, None, 3) == ([text[5], text[6], text[7]], True)
    assert await store.history(ROOM, mid(5), None, 3) == ([text[2], text[3], text[4]], True)
    assert await store.history(ROOM, mid(2), None, 3) == ([text[1]], False)
    assert await store.history(ROOM, None, mid(2), 3) == ([text[3], text[4], text[5]], True)
    assert await store.history(ROOM, mid(6), mid(3), 9) == ([text[4], text[5]], False)
    assert await store.history(ROOM, None, mid(7), 3) == ([], False)
    assert await store.history(OTHER, None, None, 9) == ([text[8], text[9]], False)
    assert await store.history(b"x" * 16, None, None, 9) == ([], False)


async def test_history_passes_over_what_is_to_be_skipped_and_messages_are_counted(store: Any) -> None:
    await store.commit([said(n) for n in range(1, 8)] + [said(8, OTHER)])
    text = {n: b"text %d" % n for n in range(1, 10)}
    assert await store.history(ROOM, None, None, 3, 2) == ([text[3], text[4], text[5]], True)
    assert await store.history(ROOM, None, None, 3, 5) == ([text[1], text[2]], False)
    assert await store.history(ROOM, None, None, 3, 2**63 - 1) == ([], False)
    assert await store.history(ROOM, mid(6), None, 2, 1) == ([text[3], text[4]], True)
    assert await store.history(ROOM, None, mid(2), 2, 3) == ([text[6], text[7]], False)
    assert await store.history(ROOM, mid(3), mid(1), 2, 5) == ([], False)
    assert await store.message_count(ROOM) == 7
    assert await store.message_count(b"x" * 16) == 0
    await store.commit([DropMessage(ROOM, mid(1))])
    assert await store.message_count(ROOM) == 6


async def test_messages_of_one_position_keep_their_order_and_are_all_paged(store: Any) -> None:
    await store.commit([PutMessage(ROOM, mid(n), 5, b"%d" % n) for n in range(4)])
    assert await store.history(ROOM, mid(2), None, 1) == ([b"1"], True)
    assert await store.history(ROOM, None, mid(1), 9) == ([b"2", b"3"], False)


@pytest.mark.parametrize("side", ["before", "after"])
async def test_paging_from_a_message_that_is_not_in_the_room_is_refused(store: Any, side: str) -> None:
    await store.commit([said(1, OTHER)])
    at = (mid(1), None) if side == "before" else (None, mid(1))
    with pytest.raises(Refused) as refused:
        await store.history(ROOM, *at, 5)
    assert (refused.value.code, refused.value.field) == ("message_not_found", side)
    assert await store.message(ROOM, mid(1)) is None


async def test_held_envelopes_are_listed_by_time_and_found_by_id_prefix(store: Any) -> None:
    late, early = held(b"late", ts_ms=2_000), held(b"early", ts_ms=1_000)
    await store.commit([late, early, late])
    listed = (await store.load()).envelopes
    assert [tuple(entry) for entry in listed] == [(early.eid, 1_000, 9_000), (late.eid, 2_000, 9_000)]
    found = await store.envelopes_by_id([late.eid[:16], b"?" * 16, early.eid[:16]])
    assert found == [late.raw, early.raw]
    assert (await store.stats())["held_envelopes"] == 2


async def test_an_envelope_already_held_stays_as_it_is(store: Any) -> None:
    first = held(b"same", expires_ms=9_000)
    await store.commit([first])
    await store.commit([held(b"same", expires_ms=1)])
    assert not await store.expire(5_000)
    assert await store.envelopes_by_id([first.eid[:16]]) == [first.raw]


async def test_who_counts_is_told_of_what_was_to_be_held_and_is_there_already(store: Any) -> None:
    one, two = held(b"one"), held(b"two")
    await store.commit([one])
    again = structs.replace(one, shelf=Shelf.OWN, source=9)
    gone = await store.commit([again, two, two])
    assert sorted(gone.portions) == [(Shelf.OTHER, 0, 1, 100), (Shelf.OWN, 9, 1, 100)]
    assert (gone.orders, gone.kept, gone.forgotten) == ((), 0, ())
    assert {tuple(portion) for portion in (await store.load()).portions} == {(Shelf.OTHER, 0, 2, 200)}


async def test_what_was_held_for_others_of_a_channel_that_became_ours_lies_on_our_shelf(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIMED_AT_ONCE", 4)
    keys = [bytes([n]) * 32 for n in range(3)]
    mine = [held(b"%d" % n, ts_ms=1_000 + n // 3, rk=keys[n % 2]) for n in range(12)]
    mine = [structs.replace(one, shelf=(Shelf.KNOWN, Shelf.OTHER)[n % 3 > 0]) for n, one in enumerate(mine)]
    foreign = [held(b"foreign %d" % n, rk=b"f" * 32) for n in range(2)]
    await store.commit([*mine, *foreign])
    left = (Claim(1, ROOM, tuple((day, key, 70 + day) for day, key in enumerate(keys))),)
    came = went = steps = 0
    while left:
        gone = await store.commit(left)
        came += sum(one[3] for one in gone.claimed)
        went += sum(portion[2] for portion in gone.portions)
        assert {(one[1], one[2]) for one in gone.claimed} <= {(0, 70), (1, 71)}
        left, steps = gone.unfinished, steps + 1
    assert (came, went) == (12, 12) and steps <= 5
    assert {tuple(portion) for portion in (await store.load()).portions} == {
        (Shelf.OWN, 70, 6, 600),
        (Shelf.OWN, 71, 6, 600),
        (Shelf.OTHER, 0, 2, 200),
    }
    assert not await store.commit([Claim(1, ROOM, ((0, keys[0], 70),))])


async def test_dropped_envelopes_are_gone_and_may_come_again(store: Any) -> None:
    one, two = held(b"one"), held(b"two")
    await store.commit([one, two, DropEnvelopes((one.eid, b"?" * 32))])
    assert await store.envelopes_by_id([one.eid[:16], two.eid[:16]]) == [two.raw]
    await store.commit([DropEnvelopes((two.eid,)), two])
    assert await store.envelopes_by_id([two.eid[:16]]) == [two.raw]


async def test_envelopes_are_found_by_routing_key_oldest_first_and_paged(store: Any) -> None:
    mine = [held(b"%d" % n, ts_ms=5_000 - n, rk=bytes([n % 2]) * 32) for n in range(10)]
    await store.commit([*mine, held(b"foreign", rk=b"f" * 32)])
    in_order = [e.raw for e in reversed(mine)]
    keys = [bytes(32), b"\x01" * 32] + [n.to_bytes(32, "big") for n in range(2, 600)]
    assert await store.envelopes_by_rk(keys, 100) == in_order
    assert await store.envelopes_by_rk(keys, 4) == in_order[:4]
    last = mine[6]
    assert await store.envelopes_by_rk(keys, 4, (last.ts_ms, last.eid)) == in_order[4:8]
    assert await store.envelopes_by_rk([], 4) == []


async def test_envelopes_are_paged_by_time_within_a_budget_of_bytes(store: Any) -> None:
    kept = [held(b"%d" % n, ts_ms=1_000 + n) for n in range(6)]
    await store.commit(kept)
    raws = [e.raw for e in kept]
    assert await store.envelopes_by_time(1_001, 1_004, None, 10_000) == (raws[1:4], False)
    assert await store.envelopes_by_time(0, 9_999, None, 250) == (raws[:2], True)
    assert await store.envelopes_by_time(0, 9_999, (1_001, kept[1].eid), 1) == (raws[2:3], True)
    assert await store.envelopes_by_time(0, 9_999, (1_005, kept[5].eid), 1) == ([], False)
    assert await store.envelopes_by_time(1_003, 9_999, (1_000, kept[0].eid), 10_000) == (raws[3:], False)


async def test_expiry_drops_what_is_over_and_says_which(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "EXPIRE_BATCH", 3)
    old = [held(b"old %d" % n, expires_ms=100 + n) for n in range(7)]
    await store.commit([*old, held(b"young", expires_ms=200)])
    gone = [await store.expire(150)]
    while store.expiring:
        assert len(gone[-1].forgotten) == 3
        gone.append(await store.expire(150))
    assert sorted(eid for one in gone for eid in one.forgotten) == sorted(e.eid for e in old)
    assert sum(one.portions[0][2] for one in gone) == len(old)
    assert sum(one.portions[0][3] for one in gone) == sum(len(e.raw) for e in old)
    assert len((await store.load()).envelopes) == 1


async def test_bodies_are_let_go_a_portion_at_a_time_the_oldest_first_and_the_ids_stay(store: Any) -> None:
    async def portions() -> set[tuple[int, ...]]:
        return {tuple(portion) for portion in (await store.load()).portions}

    def put(n: int, shelf: Shelf, source: int) -> PutEnvelope:
        name = b"%d %d %d" % (n, shelf, source)
        return structs.replace(held(name, ts_ms=2_000 - n), shelf=shelf, source=source)

    ours = [put(n, Shelf.OTHER, 7) for n in range(5)]
    theirs = [put(n, Shelf.OTHER, 8) for n in range(5)]
    known = [put(n, Shelf.KNOWN, 7) for n in range(5)]
    assert not await store.commit([*ours, *theirs, *known])
    assert await portions() == {(0, 7, 5, 500), (0, 8, 5, 500), (2, 7, 5, 500)}
    gone = await store.commit([LetGo(Shelf.OTHER, 7, 101), LetGo(Shelf.KNOWN, 9, 50)])
    assert (gone.portions, gone.kept, gone.forgotten) == (((0, 7, 2, 200), (2, 9, 0, 0)), 2, ())
    assert await portions() == {(0, 7, 3, 300), (0, 8, 5, 500), (2, 7, 5, 500), (3, 0, 2, 0)}
    went = [ours[4], ours[3]]
    assert await store.envelopes_by_id([e.eid[:16] for e in went]) == []
    assert await store.envelopes_by_time(1_995, 1_998, None, 10**6) == (
        [e.raw for e in sorted([theirs[4], theirs[3], known[4], known[3]], key=lambda e: (e.ts_ms, e.eid))],
        False,
    )
    assert went[0].raw not in await store.envelopes_by_rk([went[0].rk], 100)
    assert {e.eid for e in went} <= {eid for eid, _, _ in (await store.load()).envelopes}
    assert (await store.stats())["held_envelopes"] == 13
    await store.commit(went)
    assert await store.envelopes_by_id([e.eid[:16] for e in went]) == [], "what was let go came back"
    gone = await store.commit([LetGo(Shelf.OTHER, 7, 10**9), ForgetGone(3)])
    assert gone.portions == ((0, 7, 3, 300), (3, 0, 3, 0))
    assert set(gone.forgotten) == {ours[4].eid, ours[3].eid, ours[2].eid}
    assert await portions() == {(0, 8, 5, 500), (2, 7, 5, 500), (3, 0, 2, 0)}


async def test_an_envelope_that_was_never_held_leaves_its_id_until_it_expires(store: Any) -> None:
    passed = structs.replace(held(b"passed", expires_ms=100), rk=b"", raw=b"", shelf=Shelf.GONE)
    young = held(b"young", ts_ms=1_500)
    await store.commit([passed, young])
    assert (await store.stats())["oldest_held_ms"] == 1_500
    assert [eid for eid, _, _ in (await store.load()).envelopes] == [passed.eid, young.eid]
    gone = await store.expire(150)
    assert (gone.forgotten, gone.portions) == ((passed.eid,), ((3, 0, 1, 0),))
    assert [eid for eid, _, _ in (await store.load()).envelopes] == [young.eid]


async def test_the_event_log_is_compacted_by_age_but_numbering_goes_on(store: Any) -> None:
    await store.commit([AppendEvent(n, n * 1_000, b"%d" % n) for n in range(1, 6)])
    await store.expire(KEEP_EVENTS_MS + 3_000)
    assert [seq for seq, _ in await store.events_after(0, 9)] == [3, 4, 5]
    assert store.first_seq == 3
    await store.expire(KEEP_EVENTS_MS * 3)
    assert (store.first_seq, store.last_seq) == (5, 5)
    await store.commit([AppendEvent(6, 1, b"6")])
    assert (await store.load()).first_seq == 5


async def test_the_event_log_is_compacted_by_number(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (records, memory, writer):
        monkeypatch.setattr(module, "KEEP_EVENTS", 2)
    await store.commit([AppendEvent(n, 5, b"") for n in range(1, 6)])
    await store.expire(5)
    assert [seq for seq, _ in await store.events_after(0, 9)] == [4, 5]


async def test_a_log_that_is_much_too_old_or_long_is_compacted_in_slices(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COMPACT_SLICE", 3)
    await disk.commit([AppendEvent(n, n * 1000, b"") for n in range(1, 12)])
    for first in (4, 7, 8):
        await disk.expire(KEEP_EVENTS_MS + 8_000)
        assert disk.first_seq == first
    assert not disk.expiring
    monkeypatch.setattr(writer, "KEEP_EVENTS", 1)
    await disk.expire(5)
    assert (disk.first_seq, disk.expiring) == (11, False)
    assert [seq for seq, _ in await disk.events_after(0, 99)] == [11]


async def test_what_is_found_is_what_the_messages_say_now_newest_first(store: Any) -> None:
    def put(number: int, text: str, room: bytes = ROOM, *, edit: bool = False) -> PutMessage:
        body = msgspec.json.encode({"event": "user_message", "message": text, "n": number})
        return PutMessage(room, mid(number), number, body, edit)

    async def found(text: str, *where: Any) -> tuple[list[int], bool]:
        bodies, more = await store.search(text, *(where or (None, None, 9)))
        return [msgspec.json.decode(body)["n"] for body in bodies], more

    await store.commit([put(1, "Tea"), put(2, "coat"), put(3, 'thé "vert"\\n', OTHER), put(4, "TEA 4")])
    assert await found("tea") == ([4, 1], False)
    assert await found("THE") == ([3], False)
    assert await found('É "V') == ([3], False)
    assert await found("\\n") == ([3], False)
    assert await found("\n") == ([], False)
    assert await found("user_message") == ([], False)
    assert await found("t", None, None, 2) == ([4, 3], True)
    assert await found("t", ROOM, None, 2) == ([4, 2], True)
    assert await found("t", None, (mid(3), (ROOM, OTHER)), 9) == ([2, 1], False)
    await store.commit([put(1, "coffee", edit=True), DropMessage(ROOM, mid(4))])
    assert await found("tea") == ([], False)
    assert await found("coffee") == ([1], False)
    with pytest.raises(Refused) as refused:
        await store.search("t", None, (mid(9), (ROOM, OTHER)), 9)
    assert refused.value.code == "message_not_found"


async def test_a_page_of_what_is_found_has_a_size_and_says_that_there_is_more(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = msgspec.json.encode({"event": "user_message", "message": "tea " * 100})
    await store.commit([PutMessage(ROOM, mid(n), n, long) for n in range(5)])
    for module in (finding, sqlite):
        monkeypatch.setattr(module, "PAGE_BYTES", 2 * len(long))
    assert await store.search("tea", None, None, 9) == ([long, long], True)
    assert await store.search("tea", None, (mid(2), (ROOM,)), 9) == ([long, long], False)
    for module in (finding, sqlite):
        monkeypatch.setattr(module, "PAGE_BYTES", 1)
    assert await store.search("tea", None, None, 9) == ([long], True)


async def test_an_expiry_that_finds_no_room_for_its_second_half_has_taken_nothing(
    disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> bool:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    old = held(b"old", expires_ms=100)
    await disk.commit([old])
    with monkeypatch.context() as patched, pytest.raises(StoreFull):
        patched.setattr(writer, "compact_events", full)
        await disk.expire(150)
    assert (await disk.load()).portions == ((Shelf.OTHER, 0, 1, 100),)
    assert (await disk.expire(150)).forgotten == (old.eid,)
