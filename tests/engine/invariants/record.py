"""What the test sees of a run: every use of a key, every envelope, every turn of every engine.

The recorder stands between the cryptographic modules and libsodium, so it knows what an outside observer
never does: which secret came of which, what every box holds, who sealed it and when. The checks
(`checks.py`) and the attacker (`attacker.py`) judge by it, never by what a node says of itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import pytest
from nacl._sodium import ffi  # type: ignore[import-not-found]  # made by a C compiler

from node.chat.me import Me
from node.crypto import chain, epoch, prekeys, primitives, roommsg
from node.crypto.channel import Channel
from node.crypto.labels import REGISTRY
from node.engine.effects import Effect, Input, Persist
from node.engine.engine import Engine
from node.errors import PeerFault
from node.mesh.exchange import Exchange
from node.mesh.gossip import Gossip
from node.sim import Simulation
from node.store.memory import MemoryStore
from node.store.records import PutEnvelope
from node.wire.envelope import Envelope

NAMES = {label: name for name, label in REGISTRY.items()}
NEEDS_DATA = frozenset({"root", "es"})
"""Labels whose input holds a second secret in front: whoever has the key alone derives nothing."""
BOX, DH, SIGN = "box", "dh", "sign"


@dataclass(frozen=True)
class Derived:
    """One keyed hash that somebody computed: `key` (and `also`, if set) give `out`."""

    also: bytes | None
    out: bytes


@dataclass(frozen=True)
class Boxed:
    """One thing that was sealed."""

    key: bytes
    nonce: bytes
    plain: bytes
    at: float


@dataclass
class Acting:
    """One input of one engine, while it is handled: what it called, sealed, opened, published, took."""

    name: str
    event: Input | None
    calls: Counter[str] = field(default_factory=Counter)
    message_keys: set[bytes] = field(default_factory=set)
    spent: set[bytes] = field(default_factory=set)
    published: list[Envelope] = field(default_factory=list)
    accepted: list[Envelope] = field(default_factory=list)
    retired: list[bytes] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


class Recorder:
    """Everything of one run; `install` before its first node, `remove` after its last."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.derived: dict[bytes, list[Derived]] = defaultdict(list)
        self.agreed: dict[bytes, list[bytes]] = defaultdict(list)
        self.joint: dict[bytes, tuple[bytes, ...]] = {}
        self.boxes: dict[bytes, list[Boxed]] = defaultdict(list)
        self.by_ct: dict[bytes, Boxed] = {}
        self.uses: dict[bytes, set[str]] = defaultdict(set)
        self.secret_of: dict[bytes, bytes] = {}
        self.born: dict[bytes, float] = {}
        self.channels: dict[bytes, Channel] = {}
        self.envelopes: dict[bytes, bytes] = {}
        self.honest: set[bytes] = set()
        self.faults: list[str] = []
        self.prekeys: list[tuple[str, bytes, float]] = []
        self.retired: dict[str, dict[bytes, float]] = defaultdict(dict)
        self.spent: dict[str, set[bytes]] = defaultdict(set)
        self.after: list[Callable[[Acting], None]] = []
        self.made_epoch: Callable[[str, bytes, Any, Any], None] = lambda *_: None
        self.sealing: Callable[[str, bytes, bytes, Any], None] = lambda *_: None
        self.acting: Acting | None = None
        self._waiting: dict[int, Acting] = {}
        self._patch = pytest.MonkeyPatch()

    # -- standing in between ----------------------------------------------------------------------

    def install(self) -> None:
        """Put the recorder between the parts it watches."""
        put, sodium = self._patch.setattr, primitives.sodium
        for name in ("secretbox", "secretbox_open", "sign", "sign_open"):
            put(primitives, f"_{name}", self._counted(f"crypto_{name}", getattr(primitives, f"_{name}")))
        put(sodium, "crypto_scalarmult", self._dh(sodium.crypto_scalarmult))
        put(sodium, "crypto_scalarmult_base", self._public(sodium.crypto_scalarmult_base))
        put(sodium, "crypto_box_beforenm", self._before(sodium.crypto_box_beforenm))
        put(sodium, "crypto_box_afternm", self._sealed_to(sodium.crypto_box_afternm))
        put(primitives, "blake2b", self._hash)
        put(chain, "blake2b", self._hash)
        put(Engine, "handle", self._turn(Engine.handle))
        put(Engine, "start", self._turn(Engine.start))
        put(MemoryStore, "commit", self._commit(MemoryStore.commit))
        put(Exchange, "publish", self._publish(Exchange.publish))
        put(Gossip, "accept", self._accept(Gossip.accept))
        self._install_births()

    def _install_births(self) -> None:
        put = self._patch.setattr
        put(Channel, "__init__", self._channel(Channel.__init__))
        put(PeerFault, "__init__", lambda fault, *args: self._fault(fault, args))
        put(epoch, "create_epoch", self._epoch(epoch.create_epoch))
        put(roommsg, "seal", self._seal(roommsg.seal))
        put(prekeys, "new_prekey", self._prekey(prekeys.new_prekey))
        put(prekeys, "agree_as_initiator", self._agree(prekeys.agree_as_initiator))
        put(Me, "retire_leaf", self._retire(Me.retire_leaf))

    def memory(self, name: str) -> tuple[set[bytes], dict[bytes, float]]:
        """Return what a node has spent and retired so far, to go back to with its store."""
        return set(self.spent[name]), dict(self.retired[name])

    def go_back(self, name: str, memory: tuple[set[bytes], dict[bytes, float]]) -> None:
        """A node's store is an older one: what it had spent and retired since is there again."""
        self.spent[name], self.retired[name] = set(memory[0]), dict(memory[1])

    def remove(self) -> None:
        """Take the recorder out again."""
        self._patch.undo()

    # -- libsodium --------------------------------------------------------------------------------

    def _counted(self, name: str, real: Any) -> Any:
        def call(out: Any, *given: Any) -> Any:
            if self.acting is not None:
                self.acting.calls[name] += 1
            failed = real(out, *given)
            if name == "crypto_secretbox":
                plain, _, nonce, key = given
                self._boxed(plain, nonce, key, bytes(ffi.buffer(out)))
            elif name == "crypto_secretbox_open":
                if not failed:
                    self._spend(given[-1])
            elif name == "crypto_sign":
                self.uses[given[-1]].add(SIGN)
            return failed

        return call

    def _boxed(self, plain: bytes, nonce: bytes, key: bytes, out: bytes) -> None:
        boxed = Boxed(bytes(key), bytes(nonce), bytes(plain), self.world.time)
        self.boxes[boxed.key].append(boxed)
        self.by_ct[out] = boxed
        self.uses[boxed.key].add(BOX)
        self._spend(boxed.key)

    def _spend(self, key: bytes) -> None:
        """A message key did its work: nobody needs it again."""
        if self.acting is not None and key in self.acting.message_keys:
            self.acting.spent.add(bytes(key))

    def _agree_on(self, secret: bytes, public: bytes, shared: bytes) -> None:
        self.agreed[secret].append(shared)
        self.uses[secret].add(DH)
        other = self.secret_of.get(public)
        if other is not None:
            self.agreed[other].append(shared)

    def _dh(self, real: Any) -> Any:
        def call(secret: bytes, public: bytes) -> bytes:
            if self.acting is not None:
                self.acting.calls["crypto_scalarmult"] += 1
            shared = bytes(real(secret, public))
            self._agree_on(bytes(secret), bytes(public), shared)
            return shared

        return call

    def _public(self, real: Any) -> Any:
        def call(secret: bytes) -> bytes:
            public = bytes(real(secret))
            self.secret_of[public] = bytes(secret)
            self.born.setdefault(public, self.world.time)
            return public

        return call

    def _before(self, real: Any) -> Any:
        def call(public: bytes, secret: bytes) -> bytes:
            shared = bytes(real(public, secret))
            self._agree_on(bytes(secret), bytes(public), shared)
            return shared

        return call

    def _sealed_to(self, real: Any) -> Any:
        def call(plain: bytes, nonce: bytes, shared: bytes) -> bytes:
            out = bytes(real(plain, nonce, shared))
            self._boxed(plain, nonce, shared, out)
            return out

        return call

    def _hash(
        self, data: bytes = b"", *, digest_size: int = 64, key: bytes = b"", person: bytes = b""
    ) -> Any:
        made = blake2b(data, digest_size=digest_size, key=key, person=person)
        name = NAMES.get(person, "")
        if key:
            out = made.digest()
            self.uses[bytes(key)].add(name)
            also = bytes(data[:32]) if name in NEEDS_DATA else None
            self.derived[bytes(key)].append(Derived(also, out))
            if self.acting is not None:
                self._note(name, bytes(key), out)
        elif name == "x3dhs":
            self.joint[made.digest()] = tuple(bytes(data[at : at + 32]) for at in (32, 64, 96))
        return made

    def _note(self, name: str, key: bytes, out: bytes) -> None:
        assert self.acting is not None
        if name in {"rmk", "mk"}:
            self.acting.message_keys.add(out)
        elif name in {"schain", "chandm"}:
            self.acting.spent.add(key)  # the epoch's secret, and a session's first root key

    # -- engines and stores -----------------------------------------------------------------------

    def name_of(self, engine: Engine) -> str:
        """Return whose engine it is; it is not in its node yet while it starts."""
        return next(n.name for n in self.world.nodes.values() if n.setup.identity is engine.state.identity)

    def _turn(self, real: Any) -> Any:
        def call(engine: Engine, *args: Any, **kwargs: Any) -> list[Effect]:
            event = args[0] if kwargs else None
            acting = self.acting = Acting(self.name_of(engine), event)
            try:
                acting.effects = real(engine, *args, **kwargs)
            finally:
                self.acting = None
            for effect in acting.effects:
                if isinstance(effect, Persist):
                    self._waiting[id(effect.writes)] = acting
            for check in self.after:
                check(acting)
            return acting.effects

        return call

    def _commit(self, real: Any) -> Any:
        def call(store: MemoryStore, writes: Any) -> Any:
            gone = real(store, writes)
            acting = self._waiting.pop(id(writes), None)
            if acting is not None:
                self.spent[acting.name] |= acting.spent
                for secret in acting.retired:
                    self.retired[acting.name].setdefault(secret, self.world.time)
            for write in writes:
                if isinstance(write, PutEnvelope):
                    self.envelopes.setdefault(write.eid, write.raw)
            return gone

        return call

    def _publish(self, real: Any) -> Any:
        def call(exchange: Exchange, env: Envelope, *args: Any, **kwargs: Any) -> None:
            if self.acting is not None:
                self.acting.published.append(env)
                self.honest.add(env.eid)
            real(exchange, env, *args, **kwargs)

        return call

    def _accept(self, real: Any) -> Any:
        def call(gossip: Gossip, env: Envelope, **kwargs: Any) -> None:
            if self.acting is not None and env not in self.acting.published:
                self.acting.accepted.append(env)
            real(gossip, env, **kwargs)

        return call

    # -- births -----------------------------------------------------------------------------------

    def _channel(self, real: Any) -> Any:
        def call(channel: Channel, kind: Any, secret: bytes) -> None:
            real(channel, kind, secret)
            self.channels.setdefault(secret, channel)

        return call

    def _fault(self, fault: PeerFault, args: tuple[object, ...]) -> None:
        Exception.__init__(fault, *args)
        if len(self.faults) < 5_000:
            self.faults.append(repr(args))

    def _epoch(self, real: Any) -> Any:
        def call(*args: Any, room_id: bytes, members: Any, **kwargs: Any) -> Any:
            made = real(*args, room_id=room_id, members=members, **kwargs)
            if self.acting is not None:
                self.made_epoch(self.acting.name, room_id, made, members)
                self.acting.spent.add(self.secret_of[made.parsed.ek_pub])
            return made

        return call

    def _seal(self, real: Any) -> Any:
        def call(*args: Any, room_id: bytes, epoch16: bytes, kind: Any, **kwargs: Any) -> Any:
            if self.acting is not None:
                self.sealing(self.acting.name, room_id, epoch16, kind)
            return real(*args, room_id=room_id, epoch16=epoch16, kind=kind, **kwargs)

        return call

    def _prekey(self, real: Any) -> Any:
        def call(*args: Any) -> Any:
            made = real(*args)
            if self.acting is not None:
                self.prekeys.append((self.acting.name, made.secret, self.world.time))
            return made

        return call

    def _agree(self, real: Any) -> Any:
        def call(*args: Any, ek_seed: bytes, **kwargs: Any) -> Any:
            if self.acting is not None:
                self.acting.spent.add(ek_seed)
            return real(*args, ek_seed=ek_seed, **kwargs)

        return call

    def _retire(self, real: Any) -> Any:
        def call(me: Me, turn: Any, leaf_id: int) -> None:
            real(me, turn, leaf_id)
            if self.acting is not None and leaf_id in me.leaves:
                self.acting.retired.append(me.leaves[leaf_id].secret)

        return call
