"""What is checked of a whole run: I1, I5 to I9, I11 to I14, and that nothing acknowledged is lost."""

from __future__ import annotations

import ast
import base64
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.clock import DAY_MS, HORIZON_DAYS
from node.crypto import roommsg
from node.crypto.roommsg import RoomInner
from node.errors import CryptoFault
from node.sim import SimNode, Simulation
from tests.engine.invariants.attacker import closure, knowledge
from tests.engine.invariants.brute import Brute
from tests.engine.invariants.ledger import Copy, Ledger, Said, user_id
from tests.engine.invariants.record import BOX, DH, SIGN, Recorder
from tests.engine.invariants.seals import Seals
from tests.engine.oracle import _children

USES = (
    {"escommit", "chan", "eph", "schain"},
    {"rchain"},
    {"rmk"},
    {"rkc", BOX},
    {"chain"},
    {"mk"},
    {"kc", BOX},
    {"root"},
    {"chandm", "root"},
    {"x3dh"},
    {"slot"},
    {"post", "outer", "ephdm"},
    {"invkey", "join"},
    {"es"},
    {BOX},
    {DH},
    {SIGN},
)
"""What one key may be used for. The first root key of a session also gives its channel; `mk` and the like
seal one box and commit to themselves."""
KEPT_S = (HORIZON_DAYS + 2) * DAY_MS / 1000
"""The horizon, a day for the clock's grain, and one for housekeeping."""
PREKEY_S = 7 * DAY_MS / 1000
ROOT = Path(__file__).parents[3] / "node"


@dataclass(frozen=True)
class Stolen:
    """A node's whole state at one moment."""

    name: str
    at: float
    known: frozenset[bytes]


class Checks:
    """Judges a run by what the recorder saw, the ledger expects and an attacker can compute."""

    def __init__(self, world: Simulation, run: Recorder, ledger: Ledger, seals: Seals) -> None:
        self.world, self.run, self.ledger, self.seals = world, run, ledger, seals
        self.stolen: list[Stolen] = []
        self.tried = 0

    def steal(self, node: SimNode) -> None:
        """Take a node's whole state."""
        self.stolen.append(Stolen(node.name, self.world.time, knowledge(node)))

    # -- I1 and delivery --------------------------------------------------------------------------

    def shown_is_said(self, node: SimNode) -> None:
        """I1: whoever is shown as the author said it, in that room, and nobody else said anything."""
        accounts = {user_id(other): other.name for other in self.world.nodes.values()}
        seen: set[str] = set()
        for message in self.ledger.shown(node):
            said = self.ledger.said.get(message.text)
            assert said is not None and not said.refused, f"I1: nobody said {message.text!r}"
            assert accounts[message.user_id] == said.author, f"I1: {message.text!r} shown as another's"
            assert message.room == said.room, f"I1: {message.text!r} shown in another room"
            assert message.text not in seen, f"{message.text!r} shown twice"
            seen.add(message.text)

    def signed_by_authors(self) -> None:
        """I1: a room's text is signed by the device of who said it, as libsodium itself judges."""
        authors: dict[bytes, set[str]] = defaultdict(set)
        for msg in self.seals.room_messages():
            signer = self._signer(msg)
            if msg.ct in self.run.by_ct and signer is not None:
                authors[self.run.by_ct[msg.ct].key].add(signer.name)
        for said in self.ledger.said.values():
            if said.direct is None and said.key in authors:
                assert authors[said.key] == {said.author}, f"I1: {said.text!r} signed by {authors[said.key]}"

    def _signer(self, msg: RoomInner) -> SimNode | None:
        for node in self.world.nodes.values():
            if node.setup.identity.device_id == msg.core.device16:
                try:
                    roommsg.verify(msg, node.setup.identity.dsk_pub)
                except CryptoFault:
                    return None
                return node
        return None

    def missing(self, node: SimNode) -> set[str]:
        """Return what a node must have and has not."""
        return self.ledger.required(node) - {s.text for s in self.ledger.shown(node)}

    def in_causal_order(self, node: SimNode) -> None:
        """Nothing is shown before what its author had seen, unless a gap was shown for it.

        A store that went back has forgotten what its owner had seen: then there is nothing to compare with.
        """
        rooms: dict[str, list[Any]] = defaultdict(list)
        for message in self.ledger.shown(node):
            rooms[message.room].append(message)
        for shown in rooms.values():
            if any(message.gap for message in shown) or self.ledger.rolled_back:
                continue
            place = {message.text: at for at, message in enumerate(shown) if not message.late}
            for text, at in place.items():
                before = self.ledger.said[text].before & place.keys()
                assert all(place[other] < at for other in before), f"{text!r} before what it answers"

    # -- I3, I7 -----------------------------------------------------------------------------------

    def one_plaintext_a_key(self) -> None:
        """I3: (key, nonce) seals one plaintext; no index carries two messages but after a rollback."""
        for boxes in self.run.boxes.values():
            if len(boxes) > 1:
                plain = {boxed.nonce: boxed.plain for boxed in boxes}
                assert all(plain[b.nonce] == b.plain for b in boxes), "I3: one key and nonce, two plaintexts"
        used: dict[tuple[bytes, bytes, int], dict[bytes, bytes]] = defaultdict(dict)
        for msg in self.seals.room_messages():
            signer = self._signer(msg)
            if signer is not None:
                used[msg.core.epoch16, msg.core.device16, msg.core.index][msg.inner_hash] = msg.nonce
        for (_, device, index), inners in used.items():
            name = self.seals.name_of(device)
            assert len(inners) == 1 or name in self.ledger.rolled_back, f"I3: {name} used index {index} twice"
            assert len(set(inners.values())) == len(inners), "I3: a nonce twice"

    def one_use_a_key(self) -> None:
        """I7: what a key is used for stays within one row of `USES`."""
        for uses in self.run.uses.values():
            assert any(uses <= row for row in USES) or len(uses) == 1, f"I7: one key for {sorted(uses)}"

    # -- I5, I9 -----------------------------------------------------------------------------------

    def rosters_agree(self) -> None:
        """I5: the same ops give the same roster; once all is well, all members have the same one."""
        for room_id in {r for node in self.up() for r in _inboxes(node)}:
            found: dict[frozenset[bytes], bytes] = {}
            inside: dict[str, bytes] = {}
            for node in self.up():
                if room_id in _inboxes(node):
                    room = _inboxes(node)[room_id].room
                    ops = frozenset(op.op_id for op in room.log.ops_in_order())
                    assert found.setdefault(ops, room.roster_hash()) == room.roster_hash(), "I5: two rosters"
                    if room.open:
                        inside[node.name] = room.roster_hash()
            assert len(set(inside.values())) <= 1, f"I5: other rosters: {[*inside]}"

    def only_peer_faults(self) -> None:
        """I9: anything else would have ended the run; and no fault was found after something had changed."""
        for node in self.up():
            assert node.engine is not None
            assert node.engine.late_faults == 0, f"I9: {node.name} found a fault late"

    # -- I6 ---------------------------------------------------------------------------------------

    def spent_is_gone(self, node: SimNode) -> None:
        """I6: nothing in memory or rows is, or gives, a key that has done its work.

        Of a room with history, as many keys of texts may be there as newcomers could ever read, and no other.
        """
        have = closure(knowledge(node), self.run, traffic=False)
        left = have & self.run.spent[node.name]
        for room, most in self.ledger.history.items():
            kept = left & {one.key for s in self.ledger.said.values() if s.room == room for one in s.sealings}
            left -= kept if len(kept) <= most else set()
        assert not left, f"I6: {node.name} still has {[sorted(self.run.uses[key]) for key in left]}"

    def old_is_gone(self, node: SimNode) -> None:
        """I6: prekeys and leaves go 35 days after their time."""
        known = knowledge(node)
        old = [s for n, s, at in self.run.prekeys if n == node.name and self._older(at + PREKEY_S)]
        old += [s for s, at in self.run.retired[node.name].items() if self._older(at)]
        assert not known & set(old), f"I6: {node.name} keeps a key past its horizon"

    def _older(self, at: float) -> bool:
        return self.world.time > at + KEPT_S

    # -- I11, I12, I13 ----------------------------------------------------------------------------

    def outsiders_open_nothing(self) -> None:
        """I11 to I13: no state opens what its owner was not to read, or what came after healing."""
        for theft in self.stolen:
            have = closure(theft.known, self.run, traffic=True)
            for said in self.ledger.said.values():
                for sealed in said.sealings:
                    if sealed.key in have:
                        self._check(theft, said, sealed)

    def trying_opens_nothing(self, most: int, *, every: bool = False) -> None:
        """The same by trying every key; of each theft the `most` newest texts that are closed to it.

        `every`: and of one theft, a different one from run to run, all of them.
        """
        honest = [msg for msg in self.seals.room_messages() if msg.ct in self.run.by_ct]
        texts = {self.run.by_ct[msg.ct].key: msg for msg in honest}
        whole = len(self.run.envelopes) % len(self.stolen) if every and self.stolen else -1
        for at, theft in enumerate(self.stolen):
            closed = [
                (said, sealed)
                for said in self.ledger.said.values()
                for sealed in said.sealings
                if said.direct is None and sealed.key in texts and not self._may_open(theft, said, sealed)
            ]
            closed = closed if at == whole else closed[-most:]
            if closed:
                self._try(theft, closed, texts)

    def _try(self, theft: Stolen, closed: list[tuple[Said, Copy]], texts: dict[bytes, RoomInner]) -> None:
        brute = Brute(theft.known)
        made = self.seals.generations
        secrets = {es for g in made.values() for es in brute.opened(g.made.parsed, g.made.slots, g.devices)}
        for epoch16 in {sealed.epoch16 for _, sealed in closed}:
            brute.learn_chains(made[epoch16].made.parsed, secrets, made[epoch16].devices)
        for said, sealed in closed:
            self.tried += 1
            if brute.opens(texts[sealed.key]) is not None:
                self._check(theft, said, sealed)

    def _check(self, theft: Stolen, said: Said, sealed: Copy) -> None:
        assert self._may_open(theft, said, sealed), (
            f"I11-13: {theft.name} as of {theft.at:.0f} opens {said.text!r}"
        )

    def _may_open(self, theft: Stolen, said: Said, sealed: Copy) -> bool:
        """Say whether a state may open it.

        I13 for rooms: an epoch made since, for a leaf that the thief has not, is closed, unless the victim
        gave it, or was given it, over a direct session that has not healed yet (docs/crypto.md 3.7).
        """
        if said.direct is not None:
            young = any(self.run.born.get(public, 0.0) > theft.at for public in self._own(theft, said))
            return theft.name in {said.author, said.direct} and not young
        if theft.name not in said.roster & sealed.roster:
            return self._granted(theft, said)
        generation = self.seals.generations[sealed.epoch16]
        if generation.at <= theft.at or generation.leaves[theft.name] in theft.known:
            return True
        shares = self.seals.shares[sealed.epoch16]
        return any(name == theft.name and self.run.born[key] <= theft.at for name, key in shares)

    def _granted(self, theft: Stolen, said: Said) -> bool:
        """I12: who came later may have been given the newest, where the room has had a history for them."""
        if self.ledger.history.get(said.room, 0) == 0:
            return False
        after = [g for g in self.seals.generations.values() if g.room == said.room and g.at >= said.sealed_at]
        return any(theft.name in g.leaves and g.at <= theft.at for g in after)

    def _own(self, theft: Stolen, said: Said) -> tuple[bytes, ...]:
        """Return the half of a direct message's agreement that the victim drew."""
        mine, theirs = said.publics
        return (mine,) if theft.name == said.author else (theirs,)

    # -- I8 ---------------------------------------------------------------------------------------

    def nothing_is_told(self, logged: list[str]) -> None:
        """I8: no repr, error or log line holds a secret, as bytes, in hexadecimal or in base64."""
        text = "\n".join({*_reprs(self.up()), *self.run.faults, *logged})
        secrets = {key for key, uses in self.run.uses.items() if len(key) in {32, 64}}
        secrets |= {boxed.key for boxes in self.run.boxes.values() for boxed in boxes}
        told = secrets & set(_printed(text))
        assert not told, f"I8: told {[sorted(self.run.uses[key]) for key in told]}"

    def up(self) -> list[SimNode]:
        """Return the nodes that run."""
        return [node for node in self.world.nodes.values() if node.up]


def one_verifier() -> None:
    """I14: one module imports libsodium, and it verifies Ed25519 in one place; browsers have certificates."""
    sources = {path: path.read_text() for path in ROOT.rglob("*.py") if path.name != "certificates.py"}
    importing = [
        p for p, text in sources.items() if re.search(r"^\s*(from|import) nacl\b", text, re.MULTILINE)
    ]
    assert [path.name for path in importing] == ["primitives.py"]
    others = r"cryptography\.|VerifyKey|ed25519_verify|crypto_sign_verify|Ed25519PublicKey"
    assert not [path for path, text in sources.items() if re.search(others, text)]
    for once in ("crypto_sign_open", " _sign_open("):  # the call, and where it is made
        assert sum(text.count(once) for text in sources.values()) == 1


def _inboxes(node: SimNode) -> dict[bytes, Any]:
    assert node.engine is not None
    return node.engine.state.rooms.inboxes


def _reprs(nodes: list[SimNode]) -> set[str]:
    """Return the repr of every object of ours that the nodes hold."""
    found: set[str] = set()
    seen: dict[int, Any] = {}
    stack: list[Any] = [part for node in nodes for part in (node.engine, node.setup)]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, bytes | str | int | float):
            continue
        seen[id(thing)] = thing
        if type(thing).__module__.startswith("node"):
            found.add(repr(thing))
        stack += _children(thing)
    return found


def _printed(text: str) -> set[bytes]:
    """Return every 32 and 64 bytes that a text shows."""
    found: set[bytes] = set()
    for run in re.findall(r"[0-9a-fA-F]{64,}", text):
        for at in range(0, len(run) - 63):
            found.add(bytes.fromhex(run[at : at + 64]))
    for run in re.findall(r"[A-Za-z0-9+/_-]{43,}", text):
        for at in range(min(len(run) - 42, 64)):
            found.add(base64.urlsafe_b64decode(run[at : at + 43].replace("+", "-").replace("/", "_") + "="))
    for literal in re.findall(r"""(?<![\w'"])b'(?:[^'\\]|\\.)*'|(?<![\w'"])b"(?:[^"\\]|\\.)*\"""", text):
        data = ast.literal_eval(literal)
        found |= {data[at : at + 32] for at in range(max(0, min(len(data), 4096) - 31))}
    return found
