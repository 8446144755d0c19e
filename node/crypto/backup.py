"""The backup file: what opens it, and the records inside (docs/crypto.md 3.11).

    file = magic16 || version u8 || passes u8 || memory_kib u32 || salt16 || stream
    record = u32 length || bytes

KEK = Argon2id(passphrase, salt); the stream's key is `KDF(backup, KEK, the 38 bytes before it, 32)`, and the
stream begins with a commitment to that, so a guess is answered by that alone and no file opens under two
passphrases. What a guess may cost is bounded before it is spent: a hostile file asks for no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.crypto import primitives, stream
from node.crypto.labels import Label
from node.crypto.primitives import KEY_BYTES, Entropy
from node.crypto.vault import MODERATE, SALT_BYTES, Cost
from node.errors import CryptoFault, DecodeError

MAGIC = b"gossamer backup\n"
VERSION = 1
MAX_PASSES = 16
MIN_MEMORY_KIB = 8
"""libsodium's own least."""
MAX_MEMORY_KIB = 512 * 1024
"""Twice what we ask for; the passphrase of a file that asks for more is not even tried."""
MAX_RECORD = 4 * 1024 * 1024
"""The largest row is a large room's epoch, a tenth of this."""
_PLACE = len(MAGIC) + 6
START_BYTES = _PLACE + SALT_BYTES
HEAD_BYTES = START_BYTES + stream.HEAD_BYTES
"""What has to be read before the first chunk."""


class NotABackup(DecodeError):
    """The file does not begin as a backup of ours does."""


class WrongPassphrase(CryptoFault):
    """The passphrase is another one, or the head of the file was changed."""


def _key(passphrase: bytes, cost: Cost, start: bytes) -> bytes:
    salt = start[_PLACE:]
    kek = primitives.argon2id(passphrase, salt, passes=cost.passes, memory_bytes=cost.memory_bytes)
    return primitives.kdf(Label.BACKUP, kek, start, KEY_BYTES)


class Writer:
    """Makes a backup file: write `head`, then what `add` returns for each record, then `finish`."""

    def __init__(self, passphrase: bytes, entropy: Entropy, cost: Cost = MODERATE) -> None:
        numbers = bytes([VERSION, cost.passes]) + (cost.memory_bytes // 1024).to_bytes(4, "big")
        start = MAGIC + numbers + entropy(SALT_BYTES)
        self._sealer = stream.Sealer(_key(passphrase, cost, start), start, entropy)
        self.head = start + self._sealer.head
        self._waiting = bytearray()

    def add(self, record: bytes) -> bytes:
        """Seal one record of up to MAX_RECORD bytes; what is returned may be empty and follow later."""
        assert len(record) <= MAX_RECORD, "a record that no reader would take"
        self._waiting += len(record).to_bytes(4, "big") + record
        return self._sealed(stream.CHUNK_BYTES)

    def _sealed(self, least: int) -> bytes:
        out = bytearray()
        while self._waiting and len(self._waiting) >= least:
            out += self._sealer.add(bytes(self._waiting[: stream.CHUNK_BYTES]))
            del self._waiting[: stream.CHUNK_BYTES]
        return bytes(out)

    def finish(self) -> bytes:
        """Seal the rest, and the end."""
        return self._sealed(1) + self._sealer.finish()


class Reader:
    """Reads a backup file: `feed` what follows its first HEAD_BYTES, and `close` at the end.

    Raises:
        NotABackup: If it is none, of a later version, or asks for an absurd cost.
        WrongPassphrase: If the passphrase does not open it.
    """

    def __init__(self, passphrase: bytes, head: bytes) -> None:
        if len(head) != HEAD_BYTES or not head.startswith(MAGIC):
            raise NotABackup("this is no backup")
        version, passes = head[len(MAGIC)], head[len(MAGIC) + 1]
        memory_kib = int.from_bytes(head[len(MAGIC) + 2 : _PLACE], "big")
        if version != VERSION:
            raise NotABackup(f"a backup of version {version}: a newer program made it")
        if not (1 <= passes <= MAX_PASSES and MIN_MEMORY_KIB <= memory_kib <= MAX_MEMORY_KIB):
            raise NotABackup("a backup whose passphrase would cost more than any of ours")
        start = head[:START_BYTES]
        key = _key(passphrase, Cost(passes, memory_kib * 1024), start)
        try:
            self._opener = stream.Opener(key, start, head[START_BYTES:])
        except CryptoFault as exc:
            raise WrongPassphrase("wrong passphrase, or the head of the file is damaged") from exc
        self._waiting = bytearray()

    @property
    def size(self) -> int:
        """Bytes of content so far."""
        return self._opener.size

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give out the records that are whole now; raises PeerFault if anything was changed."""
        for piece in self._opener.feed(data):
            self._waiting += piece
            yield from self._records()

    def _records(self) -> Iterator[bytes]:
        while len(self._waiting) >= 4:
            length = int.from_bytes(self._waiting[:4], "big")
            if length > MAX_RECORD:
                raise DecodeError("a record of an impossible length")
            if len(self._waiting) < 4 + length:
                return
            record = bytes(self._waiting[4 : 4 + length])
            del self._waiting[: 4 + length]
            yield record

    def close(self) -> None:
        """Say that the file is over; raises CryptoFault if it was cut off."""
        self._opener.close()
        if self._waiting:
            raise CryptoFault("a backup that ends inside a record")
