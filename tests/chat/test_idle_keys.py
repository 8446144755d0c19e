"""First keys of a large epoch lie in several rows: who speaks first has a small one written anew."""

from __future__ import annotations

from random import Random

from node.chat.epochs import IDLE_EACH, EpochRow, Epochs, IdleRow
from node.chat.turn import Turn, pack_row, unpack_row
from node.clock import Instant
from node.crypto.chain import RecvChain
from node.crypto.epoch import REASON_CREATE, EpochSecrets, create_epoch
from node.crypto.keys import Identity
from node.crypto.ops import Leaf
from node.crypto.primitives import x25519_public
from node.sim import stream
from node.tables import Table

ROOM, OURS = bytes(16), bytes(16)


def turn() -> Turn:
    return Turn(Instant(0.0, 0), 0, stream("idle"), 0)


def made(count: int) -> tuple[Epochs, Turn, bytes, EpochSecrets]:
    """Hold a new epoch of so many devices, ours among them; returns it with its id and secrets."""
    entropy, leaf = stream(f"idle {count}"), Leaf(1, x25519_public(bytes(31) + b"\1"))
    devices = [OURS, *(entropy(16) for _ in range(count - 1))]
    new = create_epoch(
        Identity.generate(entropy, 1),
        room_id=ROOM,
        gen=1,
        parents=(),
        heads=(bytes(32),),
        members=[(device, leaf) for device in devices],
        now_ms=0,
        reason=REASON_CREATE,
        entropy=entropy,
    )
    epochs, at = Epochs(ROOM, OURS), turn()
    held = epochs.add(at, new.announce, new.slots, new.epoch, first=False)
    return epochs, at, held.epoch16, new.epoch


def stored(rows: dict[bytes, bytes], turned: Turn) -> None:
    """Commit what a turn wrote among the chains."""
    for (table, key), value in turned.rows.items():
        if table == Table.CHAINS and value is None:
            rows.pop(key, None)
        elif table == Table.CHAINS:
            assert value is not None
            rows[key] = value


def idle(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: value for key, value in rows.items() if key.startswith(b"idle")}


def again(epochs: Epochs, rows: dict[bytes, bytes], epoch16: bytes) -> Epochs:
    """Start anew from the rows."""
    fresh = Epochs(ROOM, OURS)
    fresh.restore(unpack_row(pack_row(epochs.held[epoch16].row), EpochRow))
    for key, value in idle(rows).items():
        fresh.restore_idle(key, unpack_row(value, IdleRow))
    return fresh


def test_the_first_to_speak_has_a_small_row_written_and_a_start_finds_what_is_left() -> None:
    epochs, at, epoch16, secrets = made(500)
    rows: dict[bytes, bytes] = {}
    stored(rows, at)
    whole = sum(map(len, idle(rows).values()))
    assert len(idle(rows)) == 500 // IDLE_EACH
    order = [device for device in secrets.chains if device != OURS]
    Random(1).shuffle(order)
    for device in order[:60]:
        at, held = turn(), epochs.held[epoch16]
        epochs.save_recv(at, held, device, RecvChain(bytes(32), 1), (bytes(16), bytes(16)))
        written = [value for (_, key), value in at.rows.items() if key.startswith(b"idle")]
        assert len(written) == 1 and written[0] is not None and len(written[0]) < whole / 6
        stored(rows, at)
        assert secrets.chains[device] not in b"".join(idle(rows).values())
    assert again(epochs, rows, epoch16).held[epoch16].idle == epochs.held[epoch16].idle
    assert set(epochs.held[epoch16].idle) == set(order[60:])
    at = turn()
    epochs._forget(at, epochs.held[epoch16])
    stored(rows, at)
    assert idle(rows) == {}


def test_a_small_epoch_has_one_row() -> None:
    epochs, at, epoch16, _ = made(2 * IDLE_EACH - 1)
    rows: dict[bytes, bytes] = {}
    stored(rows, at)
    assert list(idle(rows)) == [b"idle" + epoch16]


def test_one_row_of_a_large_epoch_as_it_once_was_stored_is_parted_by_the_first_to_speak() -> None:
    epochs, _, epoch16, secrets = made(200)
    keys = dict(epochs.held[epoch16].idle)
    rows = {b"idle" + epoch16: pack_row(IdleRow(ROOM, epoch16, keys))}
    fresh = again(epochs, rows, epoch16)
    assert fresh.held[epoch16].idle == keys
    speaker = next(iter(keys))
    at = turn()
    fresh.save_recv(at, fresh.held[epoch16], speaker, RecvChain(bytes(32), 1), (bytes(16), bytes(16)))
    stored(rows, at)
    assert b"idle" + epoch16 not in rows
    assert secrets.chains[speaker] not in b"".join(idle(rows).values())
    del keys[speaker]
    assert again(epochs, rows, epoch16).held[epoch16].idle == keys


def test_the_epoch_to_seal_under_is_the_newest_usable_one_whatever_came_and_went_before() -> None:
    entropy, leaf = stream("newest"), Leaf(1, x25519_public(bytes(31) + b"\1"))
    epochs, chance, who = Epochs(ROOM, OURS), Random(7), Identity.generate(entropy, 1)
    rosters = set[bytes]()
    for number in range(120):
        others = [entropy(16)] if number % 3 else []
        new = create_epoch(
            who,
            room_id=ROOM,
            gen=2 + chance.randrange(6),
            parents=(bytes(16),),
            heads=(bytes(32),),
            members=[(OURS, leaf), *((one, leaf) for one in others[: chance.randrange(2)])],
            now_ms=0,
            reason=REASON_CREATE,
            entropy=entropy,
        )
        rosters.add(epochs.add(turn(), new.announce, new.slots, new.epoch, first=False).announce.roster_hash)
        if chance.random() < 0.3:
            epochs._forget(turn(), chance.choice(list(epochs.held.values())))
        if chance.random() < 0.3 and epochs.held:
            chance.choice(list(epochs.held.values())).send = None
        for roster in rosters:
            fits = [h for h in epochs.held.values() if h.announce.roster_hash == roster and h.send]
            best = min(fits, key=lambda h: (-h.announce.gen, h.row.epoch_id), default=None)
            assert epochs.sending(roster, 0) is best
