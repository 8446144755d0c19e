"""Keys of cells and rows, and the passphrase wrap."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, strategies as st

from node.crypto import primitives, vault
from node.crypto.labels import Label
from node.crypto.vault import Cells, Cost
from node.errors import CryptoFault, DecodeError, PeerFault
from node.tables import SHREDDED, Table
from node.wire import codec

CHEAP = Cost(1, 8192)
ENTROPY = Random(1).randbytes
CELLS = Cells(b"m" * 32, b"s" * 32, ENTROPY)


def test_what_was_wrapped_opens_with_its_passphrase_alone() -> None:
    wrapped = vault.wrap(b"open sesame", b"the master key", cost=CHEAP, entropy=ENTROPY)
    assert vault.unwrap(b"open sesame", wrapped) == b"the master key"
    for wrong in (b"", b"open sesam", b"Open sesame"):
        with pytest.raises(CryptoFault, match="wrong passphrase"):
            vault.unwrap(wrong, wrapped)


def test_the_default_cost_is_libsodiums_moderate() -> None:
    from nacl import bindings

    assert vault.MODERATE.passes == bindings.crypto_pwhash_argon2id_OPSLIMIT_MODERATE
    assert vault.MODERATE.memory_bytes == bindings.crypto_pwhash_argon2id_MEMLIMIT_MODERATE


def test_wrapping_twice_looks_different() -> None:
    one, two = (vault.wrap(b"p", b"x", cost=CHEAP, entropy=ENTROPY) for _ in range(2))
    assert one != two
    assert b"p" * 2 not in one


@pytest.mark.attack("A24")
def test_a_box_that_opens_under_another_key_is_refused_by_the_commitment() -> None:
    wrapped = vault.wrap(b"theirs", b"x", cost=CHEAP, entropy=ENTROPY)
    fields = codec.unpack(wrapped)
    kek = primitives.argon2id(b"ours", fields[3], passes=1, memory_bytes=8192)
    header = codec.pack(fields[:4])
    key = primitives.kdf(Label.WRAP, kek, header, 32)
    fields[6] = primitives.box_seal(b"planted", fields[5], key)
    with pytest.raises(CryptoFault, match="wrong passphrase"):
        vault.unwrap(b"ours", codec.pack(fields))


def test_every_changed_byte_of_a_wrap_record_is_noticed() -> None:
    wrapped = vault.wrap(b"p", b"x", cost=CHEAP, entropy=ENTROPY)
    for at in range(len(wrapped)):
        harmed = bytearray(wrapped)
        harmed[at] ^= 1
        with pytest.raises(PeerFault):
            vault.unwrap(b"p", bytes(harmed))


@pytest.mark.parametrize(("passes", "memory"), [(0, 8192), (17, 8192), (1, 8191), (1, 3 * 1024**3)])
def test_a_record_that_asks_for_an_absurd_cost_is_refused_before_any_work(passes: int, memory: int) -> None:
    record = codec.pack([1, passes, memory, bytes(16), bytes(32), bytes(24), b""])
    with pytest.raises(DecodeError, match="cost"):
        vault.unwrap(b"p", record)


@given(table=st.sampled_from([Table.ROOMS, Table.CHAINS]), key=st.binary(max_size=80), value=st.binary())
def test_a_sealed_row_opens_to_its_key_and_value(table: str, key: bytes, value: bytes) -> None:
    rowid, sealed = CELLS.seal_row(table, key, value)
    assert CELLS.open_row(table, rowid, sealed) == (key, value)
    assert len(sealed) == len(key) + len(value) + 42


@pytest.mark.attack("A31")
def test_a_cell_opens_only_in_its_own_table_column_row_and_under_its_own_keys() -> None:
    place = ("people", "row", b"r" * 16)
    sealed = CELLS.seal(*place, b"plain")
    assert CELLS.open(*place, sealed) == b"plain"
    for other in (("rooms", "row", b"r" * 16), ("people", "box", b"r" * 16), ("people", "row", b"q" * 16)):
        with pytest.raises(CryptoFault):
            CELLS.open(*other, sealed)
    with pytest.raises(CryptoFault):
        Cells(b"?" * 32, b"s" * 32, ENTROPY).open(*place, sealed)


def test_only_shredded_tables_hang_on_the_shred_key() -> None:
    later = Cells(CELLS.master, b"t" * 32, ENTROPY)
    for table in (Table.ROOMS, Table.CHAINS):
        rowid, sealed = CELLS.seal_row(table, b"key", b"value")
        if table in SHREDDED:
            with pytest.raises(CryptoFault):
                later.open_row(table, rowid, sealed)
        else:
            assert later.open_row(table, rowid, sealed) == (b"key", b"value")


def test_no_two_places_have_the_same_key() -> None:
    names = ("a", "ab", "b", "ba", "")
    places = (b"", b"a", b"b", b"ab")
    keys = [vault.cell_key(b"m" * 32, t, c, p) for t, c, p in itertools.product(names, names, places)] + [
        vault.shred_cell_key(b"m" * 32, b"s" * 32, t, p) for t, p in itertools.product(names, places)
    ]
    assert len(set(keys)) == len(keys)


def test_row_ids_tell_tables_and_keys_apart_and_need_the_master_key() -> None:
    ids = {vault.row_id(b"m" * 32, t, k) for t, k in itertools.product(("a", "ab"), (b"", b"b", b"bc"))}
    assert len(ids) == 6
    assert vault.row_id(b"?" * 32, "a", b"b") not in ids


def test_truncated_cells_are_refused() -> None:
    sealed = CELLS.seal("rooms", "row", b"r", b"plain")
    for size in range(len(sealed)):
        with pytest.raises(CryptoFault):
            CELLS.open("rooms", "row", b"r", sealed[:size])


def test_secrets_are_not_shown() -> None:
    shown = repr(CELLS) + repr(vault.StoreKeys(b"m" * 32, (b"s" * 32,)))
    assert "mmm" not in shown
    assert "sss" not in shown


def test_what_opens_many_cells_opens_the_same_and_no_other() -> None:
    opened = CELLS.opener("messages", "body")
    sealed = CELLS.seal("messages", "body", b"place", b"plain")
    empty = CELLS.seal("messages", "body", b"empty", b"")
    assert [opened(b"place", sealed), opened(b"empty", empty), opened(b"place", sealed)] == [
        b"plain",
        b"",
        b"plain",
    ]
    for place, box in (
        (b"other", sealed),
        (b"place", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (b"place", sealed[:30]),
        (b"place", b""),
        (b"place", CELLS.seal("events", "body", b"place", b"plain")),
        (b"place", Cells(b"x" * 32, b"s" * 32, ENTROPY).seal("messages", "body", b"place", b"plain")),
    ):
        with pytest.raises(CryptoFault):
            opened(place, box)
    with pytest.raises(AssertionError):
        CELLS.opener(Table.RATCHETS, "row")
