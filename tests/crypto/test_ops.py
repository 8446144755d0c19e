"""Ops: every kind comes back as it went out, and no bit of one can be changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import ops
from node.crypto.labels import Label
from node.crypto.ops import (
    MAX_CUT,
    MAX_PARENTS,
    Add,
    Create,
    Delete,
    Device,
    Invite,
    InviteRevoke,
    Leaf,
    Leave,
    Meta,
    Op,
    OpBody,
    Policy,
    PolicyChange,
    Remove,
    Role,
    RoleChange,
    Visibility,
)
from node.crypto.primitives import digest, sign
from node.errors import CryptoFault, DecodeError, PeerFault
from node.ids import uuid8
from node.wire.codec import pack, unpack
from tests.chat.room_samples import NOW, add_of, create, person

ADA, BEN = person(1), person(2)
ROOM = b"r" * 16
CUT = ((b"a" * 16, b"b" * 16, -1), (b"a" * 16, b"c" * 16, 7))
BODIES: list[OpBody] = [
    Invite(b"i" * 16, b"p" * 32, b"c" * 32, 3, NOW, Role.GREETER),
    InviteRevoke(b"i" * 16),
    add_of(BEN),
    add_of(BEN, Role.MEMBER, b"i" * 16),
    Leave(CUT),
    Remove(BEN.account, "spam", CUT),
    RoleChange(BEN.account, Role.ADMIN),
    Delete(),
    Device(ADA.cert.raw, ADA.devices.raw, ADA.leaf),
    PolicyChange(Policy(Visibility.OPEN, 200)),
    Meta("new name", None),
    Meta(None, "topic"),
]


def make(body: OpBody) -> Op:
    parents = (b"q" * 32,)
    return ops.make_op(ADA.keys, room_id=ROOM, author_seq=2, parents=parents, lamport=1, ts_ms=NOW, body=body)


def signed(fields: list[Any]) -> bytes:
    body = pack(fields)
    return body + sign(Label.OP, ADA.keys.dsk_sk, body)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_kind_of_op_comes_back_as_it_went_out(body: OpBody) -> None:
    op = make(body)
    ops.verify_op(op, ADA.keys.dsk_pub)
    again = ops.parse_op(op.raw)
    assert again == op
    assert again.body == body
    assert (again.author, again.device_id, again.room_id) == (ADA.account, ADA.device, ROOM)
    assert again.op_id == digest(Label.OPID, op.raw)


def test_a_cut_is_sorted_when_it_goes_out() -> None:
    assert make(Leave(CUT[::-1])).body == Leave(CUT)


def test_the_rooms_id_is_made_from_the_whole_create_op() -> None:
    op = create(ADA)
    assert op.room_id == ops.room_id_of(op) == uuid8(digest(Label.ROOM, op.raw))
    assert isinstance(op.body, Create)
    assert create(ADA, name="other").room_id != op.room_id
    assert create(BEN).room_id != op.room_id


def test_every_flipped_bit_of_an_op_is_refused() -> None:
    op = make(Remove(BEN.account, "", CUT))
    for bit in range(len(op.raw) * 8):
        raw = bytearray(op.raw)
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            ops.verify_op(ops.parse_op(bytes(raw)), ADA.keys.dsk_pub)


def test_an_op_is_not_taken_from_another_device_or_for_another_purpose() -> None:
    op = make(Delete())
    with pytest.raises(CryptoFault):
        ops.verify_op(op, BEN.keys.dsk_pub)
    body = op.raw[:-64]
    other = ops.parse_op(body + sign(Label.EPSIG, ADA.keys.dsk_sk, body))
    with pytest.raises(CryptoFault):
        ops.verify_op(other, ADA.keys.dsk_pub)


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_give_a_typed_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        ops.parse_op(raw)


@given(st.data())
@settings(max_examples=300)
def test_a_field_of_any_other_shape_gives_a_typed_error_or_another_op(data: st.DataObject) -> None:
    op = make(data.draw(st.sampled_from(BODIES)))
    fields = unpack(op.raw[:-64])
    value = st.none() | st.integers(0, 1 << 40) | st.binary(max_size=33) | st.text(max_size=4)
    fields[data.draw(st.integers(0, 9))] = data.draw(value | st.lists(value, max_size=8))
    try:
        changed = ops.parse_op(signed(fields))
    except DecodeError:
        return
    assert changed == op or changed.op_id != op.op_id


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 2),
        (1, ops.NO_ROOM),
        (2, 12),
        (5, 0),
        (6, []),
        (6, [b"b" * 32, b"a" * 32]),
        (6, [b"a" * 32, b"a" * 32]),
        (6, [bytes([n]) * 32 for n in range(MAX_PARENTS + 1)]),
        (7, 0),
        (8, 1 << 63),
    ],
)
def test_an_op_that_contradicts_itself_is_refused(index: int, value: object) -> None:
    fields = unpack(make(Delete()).raw[:-64])
    fields[index] = value
    with pytest.raises(DecodeError):
        ops.parse_op(signed(fields))


@pytest.mark.parametrize("value", [0, (1 << 32) + 1, 1 << 33])
def test_an_index_of_a_cut_has_32_bits(value: int) -> None:
    fields = unpack(make(Leave(CUT)).raw[:-64])
    fields[9][0][0][2] = value
    if value == 0:
        op = ops.parse_op(signed(fields))
        assert isinstance(op.body, Leave)
        assert op.body.cut[0][2] == -1
    else:
        with pytest.raises(DecodeError):
            ops.parse_op(signed(fields))


def test_the_largest_cut_fits_and_one_more_does_not() -> None:
    entries = tuple((b"d" * 16, n.to_bytes(16, "big"), (1 << 32) - 1) for n in range(MAX_CUT + 1))
    assert make(Leave(entries[:-1])).body == Leave(entries[:-1])
    with pytest.raises(DecodeError):
        make(Leave(entries))


def test_a_pair_stands_in_a_cut_once() -> None:
    fields = unpack(make(Leave(CUT)).raw[:-64])
    fields[9][0].append(fields[9][0][-1])
    with pytest.raises(DecodeError):
        ops.parse_op(signed(fields))


def test_a_card_must_be_the_accounts_own_and_listed() -> None:
    op = make(add_of(BEN))
    card = ops.card_of(op)
    assert card is not None
    assert card.cert == BEN.cert
    assert isinstance(op.body, Add)
    for wrong in (
        replace(op.body, account=ADA.account),
        replace(op.body, devices=ADA.devices.raw),
        replace(op.body, cert=BEN.cert.raw[:-1] + bytes([BEN.cert.raw[-1] ^ 1])),
    ):
        with pytest.raises(CryptoFault):
            ops.card_of(make(wrong))


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)])
def test_a_leaf_that_nothing_can_be_agreed_with_is_refused(point: bytes) -> None:
    with pytest.raises(CryptoFault):
        ops.card_of(make(replace(add_of(BEN), leaf=Leaf(1, point))))


def test_an_op_shows_no_secret_when_printed() -> None:
    assert (b"c" * 32).decode() not in repr(make(BODIES[0]))
