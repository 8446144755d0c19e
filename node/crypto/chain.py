"""Decides which key of a one-way chain opens which message, and for how long a skipped one is kept.

One symmetric ratchet serves rooms and direct messages (docs/crypto.md 3.5 and 3.8); only the label differs:

    CK' || seed = KDF(label, CK, 0x01, 64)

A step forgets the key it came from. What arrives early leaves the seeds it jumped over behind, each until it
is used, crowded out or 35 days old; a used seed is gone, so the same message never opens twice.
States are frozen values: a fault leaves the caller holding the one it had.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import blake2b

from node.clock import HORIZON_DAYS
from node.crypto.labels import Label
from node.crypto.primitives import kdf
from node.errors import CryptoFault
from node.values import Value

MAX_JUMP = 25_000
"""Steps one message may ask for: 2.5 times what an epoch holds before it is renewed, about 30 ms of work."""
MAX_SKIPPED = 2_000
"""Seeds kept a chain, the newest: 64 KB; an older hole is shown as a gap and asked for again."""
RUN_SEEDS = 64
"""Seeds in one run: what is stored again when one of them is used stays near 2 KB."""
SEED_BYTES = 32
PREV_BYTES = 16

_STEP = b"\x01"


class AlreadyConsumed(CryptoFault):
    """The key of this message was used, or given up, before: a replay or a message too late."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A run of consecutive skipped seeds: 1 to 64 of 32 bytes, from index `first`, skipped on `day`."""

    first: int
    day: int
    seeds: bytes = field(repr=False)

    @property
    def end(self) -> int:
        """The index after the last one of the run."""
        return self.first + len(self.seeds) // SEED_BYTES


class SendChain(Value, frozen=True):
    """Our own chain: 32-byte key of message `index`, and 16 bytes of the hash of the message before it."""

    key: bytes
    index: int = 0
    prev16: bytes = bytes(PREV_BYTES)


class RecvChain(Value, frozen=True):
    """Another device's chain: 32-byte key of `next_index`, and the runs skipped below it, in order."""

    key: bytes
    next_index: int = 0
    skipped: tuple[Skipped, ...] = ()

    @property
    def skipped_count(self) -> int:
        """Seeds kept for messages that have not come."""
        return count(self.skipped)

    @property
    def head(self) -> RecvChain:
        """The chain without its skipped runs: the row of about 60 bytes that every message rewrites."""
        return self if not self.skipped else RecvChain(self.key, self.next_index)


def first_chain(es: bytes, epoch_id: bytes, device_id: bytes) -> bytes:
    """Return the 32-byte key of message 0 of `device_id` in an epoch: KDF(schain, ES, epoch_id || d)."""
    return kdf(Label.SCHAIN, es, epoch_id + device_id, 32)


def step(label: bytes, key: bytes) -> tuple[bytes, bytes]:
    """Return (the next chain key, the seed of this message), 32 bytes each."""
    both = blake2b(_STEP, digest_size=64, key=key, person=label).digest()
    return both[:32], both[32:]


def check(chain: RecvChain, index: int) -> None:
    """Say, without any key work, whether message `index` may still be opened.

    Raises:
        AlreadyConsumed: Its key was used or given up.
        CryptoFault: It is more than MAX_JUMP ahead.
    """
    if index >= chain.next_index:
        if index - chain.next_index > MAX_JUMP:
            raise CryptoFault(f"index jumps more than {MAX_JUMP}")
    elif _find(chain.skipped, index) is None:
        raise AlreadyConsumed("index was consumed before")


def seek(label: bytes, chain: RecvChain, index: int, *, day: int) -> tuple[RecvChain, bytes]:
    """Return (the chain after message `index`, the 32-byte seed of that message).

    To be kept only once the message has opened. Raises as `check` does, before any key work.
    """
    check(chain, index)
    skipped = expire(chain.skipped, day) if chain.skipped else ()
    if index < chain.next_index:
        rest, seed = take(skipped, index)
        return RecvChain(chain.key, chain.next_index, rest), seed
    if index > chain.next_index:
        key, runs = _walk(label, chain, index, day)
        skipped = newest(skipped + runs, MAX_SKIPPED)
    else:
        key = chain.key
    following, seed = step(label, key)
    return RecvChain(following, index + 1, skipped), seed


def close(label: bytes, chain: RecvChain, end: int, *, day: int) -> tuple[Skipped, ...]:
    """Return the runs left of a chain that stops before index `end`; its key is given up.

    Raises:
        CryptoFault: If `end` is below what was received, or more than MAX_JUMP ahead.
    """
    if not 0 <= end - chain.next_index <= MAX_JUMP:
        raise CryptoFault("chain ends at an impossible index")
    skipped = expire(chain.skipped, day)
    if end == chain.next_index:
        return skipped
    return newest(skipped + _walk(label, chain, end, day)[1], MAX_SKIPPED)


def take(skipped: tuple[Skipped, ...], index: int) -> tuple[tuple[Skipped, ...], bytes]:
    """Return (the runs without `index`, its seed); raises AlreadyConsumed if it is in none of them."""
    at = _find(skipped, index)
    if at is None:
        raise AlreadyConsumed("index was consumed before")
    run = skipped[at]
    cut = (index - run.first) * SEED_BYTES
    left, seed, right = run.seeds[:cut], run.seeds[cut : cut + SEED_BYTES], run.seeds[cut + SEED_BYTES :]
    parts = tuple(
        Skipped(first, run.day, seeds) for first, seeds in ((run.first, left), (index + 1, right)) if seeds
    )
    return skipped[:at] + parts + skipped[at + 1 :], seed


def expire(skipped: tuple[Skipped, ...], day: int) -> tuple[Skipped, ...]:
    """Return the runs that are not older than 35 days on `day`."""
    return tuple(run for run in skipped if day - run.day <= HORIZON_DAYS)


def newest(skipped: tuple[Skipped, ...], most: int) -> tuple[Skipped, ...]:
    """Return the `most` seeds with the highest indexes; also what a room's own bound is kept with."""
    excess = count(skipped) - most
    if excess <= 0:
        return skipped
    for at, run in enumerate(skipped):
        size = run.end - run.first
        if excess < size:
            rest = Skipped(run.first + excess, run.day, run.seeds[excess * SEED_BYTES :])
            return (rest, *skipped[at + 1 :])
        excess -= size
    return ()


def count(skipped: tuple[Skipped, ...]) -> int:
    """Return the number of seeds in all the runs."""
    return sum(len(run.seeds) for run in skipped) // SEED_BYTES


def given_up(before: RecvChain, after: RecvChain) -> tuple[tuple[int, int], ...]:
    """Return the ranges [first, end) that `before` jumped over for `after` and that no seed is kept for.

    `after` comes from opening its last index; the ranges are shown as a gap and asked for again.
    """
    if after.next_index <= before.next_index:
        return ()
    kept = next((run.first for run in after.skipped if run.first >= before.next_index), after.next_index - 1)
    return ((before.next_index, kept),) if kept > before.next_index else ()


def changed(before: RecvChain, after: RecvChain) -> tuple[tuple[Skipped, ...], tuple[int, ...]]:
    """Return (runs to store, `first` of runs to delete) for runs that are rows of their own beside `head`."""
    if before.skipped == after.skipped:
        return (), ()
    old = {run.first: run for run in before.skipped}
    fresh = tuple(run for run in after.skipped if old.get(run.first) != run)
    gone = old.keys() - {run.first for run in after.skipped}
    return fresh, tuple(sorted(gone))


def joined(head: RecvChain, runs: tuple[Skipped, ...]) -> RecvChain:
    """Put a chain together again from its `head` and its runs in any order."""
    return RecvChain(head.key, head.next_index, tuple(sorted(runs, key=_first)))


def _first(run: Skipped) -> int:
    return run.first


def _find(skipped: tuple[Skipped, ...], index: int) -> int | None:
    if not skipped:
        return None
    at = bisect_right(skipped, index, key=_first) - 1
    return at if at >= 0 and index < skipped[at].end else None


def _walk(label: bytes, chain: RecvChain, end: int, day: int) -> tuple[bytes, tuple[Skipped, ...]]:
    """Step to `end`; return its key and the newest seeds passed, in runs."""
    key, start = chain.key, max(chain.next_index, end - MAX_SKIPPED)
    for _ in range(chain.next_index, start):
        key, _seed = step(label, key)
    seeds: list[bytes] = []
    for _ in range(start, end):
        key, seed = step(label, key)
        seeds.append(seed)
    runs = tuple(
        Skipped(start + at, day, b"".join(seeds[at : at + RUN_SEEDS]))
        for at in range(0, len(seeds), RUN_SEEDS)
    )
    return key, runs
