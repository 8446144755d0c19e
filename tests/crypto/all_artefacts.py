"""All that a peer, a person or a disk can hand us: artefacts.py, and frames, handshakes, links, files."""

from __future__ import annotations

from collections.abc import Callable

from node.crypto import backup, links, safety, vault
from node.crypto.backup import Reader, Writer
from node.crypto.handshake import Cipher, Handshake, LinkKeys, make_link_keys
from node.crypto.keys import Identity
from node.crypto.primitives import sign
from node.crypto.stream import HEAD_BYTES, Opener, Sealer
from node.crypto.vault import Cells, Cost
from node.errors import CryptoFault, DecodeError
from node.tables import Table
from node.wire import frame_bytes, frames
from tests.chat.room_samples import NOW, TODAY
from tests.crypto.artefacts import ADA, BEN, INNERS, PARTS, ROOM, Artefact, K, entropy

NETWORK = b"n" * 32
DIALLER, LISTENER = (
    make_link_keys(who.keys.node_seed, network_id=NETWORK, psk=None, entropy=entropy()) for who in (ADA, BEN)
)
MESSAGES = 3


def shake(messages: int, *, dialler: LinkKeys = DIALLER) -> tuple[Handshake, Handshake, list[bytes]]:
    """Return dialler, listener and the messages made; the last of them is not read yet."""
    one = Handshake(dialler, initiator=True, entropy=entropy())
    two = Handshake(LISTENER, initiator=False, entropy=entropy())
    made: list[bytes] = []
    for number in range(messages):
        writer = (one, two)[number % 2]
        if made:
            writer.read(made[-1])
        made.append(writer.write())
    return one, two, made


def reading(number: int) -> Callable[[bytes], object]:
    """Return the reader of handshake message `number`, from 1."""

    def read(raw: bytes) -> object:
        one, two, _ = shake(number)
        reader = one if number == 2 else two
        reader.read(raw)
        if number == 1:
            one.read(two.write())  # it names nobody yet: whether it was the dialler's shows in the answer
        return reader.peer

    return read


def vouched(label: bytes) -> bytes:
    """Return the third message of a dialler whose proof is signed under `label`."""
    signed = sign(label, ADA.keys.node_sk, NETWORK + DIALLER.static_pub)
    keys = LinkKeys(
        DIALLER.node_pub, DIALLER.static, DIALLER.static_pub, DIALLER.node_pub + signed, NETWORK, None
    )
    return shake(MESSAGES, dialler=keys)[2][-1]


def frame(kind: frames.Frame) -> Artefact:
    def read(raw: bytes) -> object:
        found = frame_bytes.decode(raw)
        if type(found) is not type(kind):
            raise DecodeError("a frame of another number, or of one that is ignored")
        return found

    return Artefact(frame_bytes.encode(kind), read)


_ENVELOPE = PARTS["envelope"].raw
_ID = b"i" * 16
FRAMES = {
    f"frame {type(kind).__name__}": frame(kind)
    for kind in (
        frames.Hello(0, b"b" * 8, ("ws://a:1",), frozenset({"relay"}), 40_000, NOW, NOW, 200),
        frames.Push(1, _ENVELOPE),
        frames.IHave(((_ID, 1),)),
        frames.Want((_ID,)),
        frames.Days(1, ((20_000, 1, _ID),)),
        frames.Tail(1, 20_000, NOW, _ID),
        frames.Batch(1, (_ENVELOPE,), False),
        frames.Credit(1, 65_536),
        frames.Gone((_ID,)),
        frames.Ping(NOW),
        frames.Pong(NOW),
        frames.Goodbye(frames.Leave.FULL, 60),
    )
}
HANDSHAKE = {
    f"handshake message {number}": Artefact(shake(number)[2][-1], reading(number))
    for number in range(1, MESSAGES + 1)
}
LINK = {
    "link message": Artefact(
        Cipher(K).seal(frame_bytes.encode(frames.Ping(NOW))), lambda raw: Cipher(K).open(raw)
    )
}


# -- what people paste, and what lies on disk ------------------------------------------------------


def read_code(raw: bytes) -> object:
    if not safety.matches(raw.decode("latin-1"), BEN.account, ADA.account):
        raise CryptoFault("code of other keys")
    return raw


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda raw: read(raw.decode("latin-1"))


CELLS = Cells(K, K, entropy())
CONTACT_LINK = links.ContactLink(ADA.account, ADA.keys.intro_pub, b"T" * 16, TODAY, ("ws://a:1",))
ROOM_LINK = links.RoomLink(ROOM, K, ADA.account, ("ws://a:1",))
WRAPPED = vault.wrap(b"open sesame", b"the master key", cost=Cost(1, 8192), entropy=entropy())


def cell(table: str) -> Artefact:
    place = (table, "row", b"p" * 16)
    return Artefact(CELLS.seal(*place, b"value"), lambda raw: CELLS.open(*place, raw))


PASTED = {
    "contact link": Artefact(links.encode_contact(CONTACT_LINK).encode(), text(links.decode_contact)),
    "room link": Artefact(links.encode_room(ROOM_LINK).encode(), text(links.decode_room)),
    "safety code": Artefact(safety.verification_code(ADA.account, BEN.account).encode(), read_code),
}
BACKUP = Writer(b"open sesame", entropy(), Cost(1, 8192))
STREAM = Sealer(K, b"context", entropy())


def read_backup(raw: bytes) -> object:
    reader = Reader(b"open sesame", raw[: backup.HEAD_BYTES])
    found = list(reader.feed(raw[backup.HEAD_BYTES :]))
    reader.close()
    return found


def read_stream(raw: bytes) -> object:
    opener = Opener(K, b"context", raw[:HEAD_BYTES])
    found = list(opener.feed(raw[HEAD_BYTES:]))
    opener.close()
    return found


STORED = {
    "backup": Artefact(BACKUP.head + BACKUP.add(b"record") + BACKUP.finish(), read_backup),
    "chunk stream": Artefact(STREAM.head + STREAM.add(b"piece") + STREAM.finish(), read_stream),
    "wrap record": Artefact(WRAPPED, lambda raw: vault.unwrap(b"open sesame", raw)),
    "cell": cell(Table.ROOMS),
    "shredded cell": cell(Table.CHAINS),
    "identity": Artefact(ADA.keys.to_bytes(), Identity.from_bytes),
}
KINDS: dict[str, Artefact] = {**INNERS, **PARTS, **FRAMES, **HANDSHAKE, **LINK, **PASTED, **STORED}
"""By name."""
