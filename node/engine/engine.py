"""The whole node as one machine: `handle(input, now) -> effects`, Persist first (docs/architecture.md).

It owns the state, the mesh and the desk at which commands are done. Whatever one input causes is gathered in
a turn; what peers get wrong is dropped with nothing changed, what frontends get wrong is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.bridge.ports import (
    CommandReceived,
    EventsWritten,
    FileUploaded,
    ReadAnswered,
    SessionEnded,
    SessionStarted,
)
from node.chat import events, hidden, names
from node.chat.backup import RESTORED
from node.chat.directory import TTL_DAYS
from node.chat.fetched import AUTOMATIC
from node.chat.filing import (
    BlockHeld,
    BlocksSwept,
    BlockWritten,
    FileFinished,
    FileResult,
    FileSealed,
    FilesSwept,
    PartRead,
    PartsFound,
    SliceRead,
)
from node.chat.me import Me
from node.chat.turn import Turn
from node.clock import Instant, day_of, earliest
from node.crypto import noderec
from node.crypto.channel import ChannelKind, verify_envelope
from node.crypto.keys import Identity
from node.crypto.primitives import Entropy
from node.engine import (
    attaching,
    comebacks,
    commands,
    node_commands,
    outage,
    sessions,
    token_commands,
    writes as written,
)
from node.engine.blocks import Blocks
from node.engine.chores import Chores
from node.engine.desk import Desk
from node.engine.effects import (
    AfterFetched,
    BackupWritten,
    ChannelRead,
    Effect,
    FetchMessages,
    FindMessages,
    Hold,
    Input,
    MessagesFetched,
    MessagesFound,
    Persist,
    ShredSoon,
    Stopping,
    TokenKept,
    VaultSealed,
    Woke,
)
from node.engine.inbox import Inbox
from node.engine.inviting import Inviting
from node.engine.listings import Listings
from node.engine.mark import Mark
from node.engine.meshing import Meshing, onward
from node.engine.replay import Replay
from node.engine.restoring import Restorer, restore_me
from node.engine.shelving import QUOTA, Shelving
from node.engine.state import State
from node.engine.whereabouts import Whereabouts, remembered
from node.errors import PeerFault, Refused
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    AddAddress,
    Arrived,
    BlockInput,
    DeadlineReached,
    LinkBytes,
    LinkDrained,
    ListensAt,
    MeshEffect,
    MeshInput,
    Publish,
)
from node.store.records import (
    Gone,
    Loaded,
    RewriteMessage,
    Write,
)
from node.tables import Table
from node.wire import envelope
from node.wire.envelope import KEPT, Envelope
from node.wire.frames import MAX_ADDRESSES

PUBLISHED_AT_ONCE = 16
"""Envelopes of a turn that the mesh is given before it seals frames for links: their queues are bounded."""


@dataclass(frozen=True)
class Setup:
    """What a start gives the engine beside the stored rows."""

    identity: Identity
    boot_id: str
    boot_nonce: bytes
    entropy: Entropy
    name: str = "user"
    network_id: bytes = field(default=bytes(32), repr=False)
    psk: bytes | None = field(default=None, repr=False)
    roles: frozenset[str] = frozenset({"hold"})
    addresses: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    quota: int = QUOTA
    """Bytes held for others."""
    sessions: tuple[SessionStarted, ...] = ()
    """Frontends that stayed attached while there was no engine, or another."""
    fetch_bytes: int = AUTOMATIC
    """Attachments up to this size come by themselves."""
    read_only: bool = False
    """The disk takes nothing: answer what can be answered (`node.engine.outage`)."""


class Engine:
    """One node. Feed inputs, carry out effects in order, wake at `deadline`."""

    def __init__(self, setup: Setup, loaded: Loaded, now: Instant) -> None:
        self._setup = setup
        self._entropy = setup.entropy
        me = restore_me(setup.identity, loaded)
        self._fresh = me is None
        self._restored = loaded.rows[Table.SETTINGS].get(RESTORED)
        if me is None:
            me = Me.create(setup.identity, names.clean(setup.name) or "user", setup.name, now, setup.entropy)
        self.state = State(setup.identity, me, loaded, setup.boot_id)
        self.state.read_only = self.state.nonces.closed = setup.read_only
        self.state.sessions.update({kept.session: kept for kept in setup.sessions})
        self.mesh = self._make_mesh(setup, loaded, now)
        self.addresses = setup.addresses
        self.whereabouts = Whereabouts(self.state, self.mesh, self._record, loaded, now.mono)
        self.replay = Replay(self.state)
        inviting = Inviting(self.state)
        listings = Listings(self.state, setup.network_id, now.mono)
        inbox = Inbox(self.state, inviting, listings, self.whereabouts)
        self.desk = self._make_desk(inbox, inviting, loaded, now)
        self.chores = Chores(self.desk, self.replay, self.whereabouts, now.mono)
        self.meshing = Meshing(self.desk, self.chores, self.replay, self._open)
        self.state.changing.gone.append(attaching.erased(self.state.attachments))
        self.desk.inbox.receipts.linked = lambda: self.mesh.connectivity in {"meshed", "synced"}
        self.state.contacts.node_record = self._record
        self.state.joins.node_record = self._record
        today = day_of(now.wall_ms)
        self.state.channels.add(listings.route, today - TTL_DAYS, today)
        self._clock = now
        self.late_faults = 0
        """Peers' faults found after something had changed: a bug, and tests say that there is none."""
        Restorer(self.state, loaded, now).run()
        self.shelving.assign(self.state.channels.all())
        self.desk.inbox.newcomers.resume(now)
        self.desk.inbox.beats.begin(now.mono)
        self.replay.doors = self.desk.inbox.greeting.watch_again(now.wall_ms)

    def _make_mesh(self, setup: Setup, loaded: Loaded, now: Instant) -> Mesh:
        return Mesh(
            node_seed=setup.identity.node_seed,
            network_id=setup.network_id,
            psk=setup.psk,
            roles=setup.roles,
            listen=setup.addresses,
            boot_nonce=setup.boot_nonce,
            entropy=setup.entropy,
            verify=self._verify,
            known=loaded.envelopes,
            now=now,
            remembered=remembered(loaded),
        )

    def _make_desk(self, inbox: Inbox, inviting: Inviting, loaded: Loaded, now: Instant) -> Desk:
        self.shelving = Shelving(self._setup.quota, loaded.portions, loaded.source_of, now=now.mono)
        addresses, record = self._found_at, self._record
        desk = Desk(self.state, self.mesh, inbox, inviting, self.shelving, now.wall_ms, addresses, record)
        desk.blocks = Blocks(self.state, self.mesh, record, relay="relay" in self._setup.roles)
        desk.blocks.restore(loaded)
        self.state.attachments.fetched.automatic = self._setup.fetch_bytes
        return desk

    # -- the one door -----------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When the engine wants to be woken: the least of its parts' deadlines."""
        aside = self.meshing.aside.deadline
        return None if self.state.read_only else earliest(self.mesh.deadline, self.chores.deadline, aside)

    def start(self, now: Instant) -> list[Effect]:
        """Return what a start causes: first rows of a new home, addresses to dial, channels to replay."""
        if self.state.read_only:
            return outage.start(self.desk)
        turn = self._turn(now)
        effects: list[Effect] = []
        if self._fresh:
            self.state.me.save(turn)
            self.state.me.bundle(turn)
        comebacks.start(self.state, turn, self._restored)
        sessions.kept(self.desk, turn)
        self.desk.inbox.upkeep.sharing.starting(turn)
        self.state.changing.starting(turn)
        effects += self.meshing.claiming(self.replay.starting(now))
        lookups = hidden.also(self.state.people, self.state.lookups)
        effects += [FindMessages(room, mids) for room, mids in lookups]
        effects += [FetchMessages(room, mids) for room, mids in self.state.mending.unsent()]
        self.state.attachments.starting(turn)
        self.desk.blocks.starting(turn)
        unsure = self.desk.inbox.receipts.resume(now.mono)
        effects += [FetchMessages(room, (mid,)) for room, mid in unsure]
        self.desk.after.append(node_commands.credentials(self.desk))
        mesh_out = [self.mesh.handle(AddAddress(a, "configured"), now=now) for a in self._setup.peers]
        mesh_out += [self.mesh.handle(AddAddress(a, "configured"), now=now) for a in self.state.peers]
        mesh_out += [self.mesh.handle(known, now=now) for known in self.whereabouts.known(now)]
        for address in self.state.contacts.addresses():
            mesh_out.append(self.mesh.handle(AddAddress(address, "contact"), now=now))
        for address in self.state.joins.addresses():
            mesh_out.append(self.mesh.handle(AddAddress(address, "room"), now=now))
        return self._release(turn, [e for out in mesh_out for e in out]) + effects

    def handle(self, event: Input, *, now: Instant) -> list[Effect]:
        """Advance the node by one input; the only method that changes it."""
        if self.state.read_only:
            return outage.handle(self.desk, self._turn(now), event)
        if isinstance(event, LinkBytes | LinkDrained):
            frames, rest = self.meshing.carried(event, now)
            return self._release(self._turn(now), rest) if rest else frames
        return self._put_aside(now) + self._handled(event, now)

    def handle_said(self, said: Sequence[CommandReceived], *, now: Instant) -> list[Effect]:
        """Do in one turn what frontends asked for one after the other, as `handle` does each in its own.

        For messages, of which many come at once: what a turn costs is shared, what each is answered is not.
        """
        if self.state.read_only:
            return [effect for one in said for effect in self.handle(one, now=now)]
        before, turn = self._put_aside(now), self._turn(now)
        self.chores.touched(None)
        for received in said:
            self._command(turn, received)
        return before + self._release(turn, [])

    def _put_aside(self, now: Instant) -> list[Effect]:
        """Put on its shelf what came for others and waits for that: what comes now may be about it."""
        aside = self.meshing.aside.empty()
        return self._release(self._turn(now), aside) if aside else []

    def _handled(self, event: Input, now: Instant) -> list[Effect]:
        turn = self._turn(now)
        mesh_effects: list[MeshEffect] = []
        if not isinstance(event, MeshInput | Woke):
            self.chores.touched(None)
        match event:
            case CommandReceived():
                self._command(turn, event)
            case SessionStarted():
                sessions.started(self.desk, turn, event)
            case SessionEnded():
                sessions.ended(self.desk, turn, event)
            case EventsWritten():
                sessions.written(self.desk, turn, event)
            case ChannelRead():
                turn.patient = not event.final
                for raw in event.envelopes:
                    self._replay(turn, raw)
                self.replay.done(turn, event)
            case MessagesFound():
                self._found(turn, event)
            case MessagesFetched():
                self._fetched(turn, event)
            case AfterFetched():
                for done in self.desk.inbox.reading.fetched(turn, event):
                    self.desk.finish(turn, *done)
            case VaultSealed():
                self.desk.finish(turn, event.received, {"sealed": event.sealed})
            case BackupWritten() | ReadAnswered():
                self.desk.finish(turn, event.received, event.fields)
            case PartsFound() | FileFinished() | PartRead() | FilesSwept() | FileSealed() | FileUploaded():
                self._filed(turn, event)
            case BlockWritten() | SliceRead() | BlockHeld() | BlocksSwept():
                self.desk.blocks.answered(turn, event)
            case TokenKept():
                self.desk.finish(turn, event.kept.received, token_commands.kept(self.desk, event))
            case Woke():
                mesh_effects = self._woke(turn)
            case Stopping() | ListensAt():
                mesh_effects = self._moved(turn, event)
            case _:
                mesh_effects = self.mesh.handle(event, now=now)
                if not mesh_effects:
                    return []
        return self._release(turn, mesh_effects)

    def _woke(self, turn: Turn) -> list[MeshEffect]:
        """Do what is due: what the mesh is woken for, many times a second, no conversation hears of."""
        mesh_effects = self.mesh.handle(DeadlineReached(), now=turn.now)
        self.chores.woke(turn)
        return mesh_effects

    def _moved(self, turn: Turn, event: Stopping | ListensAt) -> list[MeshEffect]:
        if isinstance(event, Stopping):
            self.desk.inbox.beats.stop(turn)
            self.whereabouts.keep_view(turn, stopping=True)
            return []
        self.addresses = event.addresses
        self.whereabouts.look(turn)
        return self.mesh.handle(event, now=turn.now)

    def expires_at(self, now: Instant) -> int:
        """Return by what time envelopes have expired: ours or the mesh's, so that neither loses any alone."""
        return min(now.wall_ms, self.mesh.mesh_time_ms(now))

    def let_go(self, gone: Gone) -> list[Effect]:
        """Take note of what the store took away; what was forgotten may come again."""
        self.mesh.forget(gone.forgotten)
        return [Hold(order) for order in self.shelving.gone(gone)]

    def _fetched(self, turn: Turn, event: MessagesFetched) -> None:
        room, found = event.room, event.found
        if event.to_change:
            self.state.changing.fetched(turn, room, found)
            for asked in self.desk.asked.take(room, found):
                self._command(turn, asked)
            self.state.changing.close(turn, room)
            return
        self.desk.inbox.receipts.fetched(turn, room, found)
        if room in self.state.rooms.inboxes:
            self.state.rooms.inboxes[room].healing.fetched(turn, found)
        elif room in self.state.rooms.direct:
            self.state.mending.read(turn, self.state.rooms.direct[room].peer, dict(found))

    def _filed(self, turn: Turn, event: FileResult | FileUploaded) -> None:
        if isinstance(event, FileUploaded):
            attaching.uploaded(self.desk, turn, event)
            return
        done = attaching.take(self.desk, turn, event)
        if done is not None:
            self.desk.finish(turn, *done)

    def _turn(self, now: Instant) -> Turn:
        self._clock = now
        mesh_ms = self.mesh.mesh_time_ms(now)
        self.state.channels.roll(day_of(mesh_ms))
        return Turn(now, mesh_ms, self._entropy, self.state.seq)

    def _command(self, turn: Turn, received: CommandReceived) -> None:
        if not received.along:
            self.desk.inbox.beats.acted(turn, received.session, received.command)
        try:
            commands.perform(self.desk, turn, received)
        except Refused as fault:
            turn.reply(received.session, events.error_of(fault, received.command.req))
        except PeerFault as fault:
            refused = Refused("invalid", f"somebody else's data stands in the way: {fault}")
            turn.reply(received.session, events.error_of(refused, received.command.req))

    # -- envelopes --------------------------------------------------------------------------------

    def _verify(self, sealed: Envelope) -> None:
        """Check an envelope's signature: of our own channels by signing again, else by verifying."""
        route = self.state.channels.find(sealed.rk)
        if route is None:
            verify_envelope(sealed)
        else:
            route.channel.verify(sealed)

    def _replay(self, turn: Turn, raw: bytes) -> None:
        turn.again = True
        sealed = envelope.parse(raw)
        route = self.state.channels.find(sealed.rk)
        if route is not None:
            self._open(turn, sealed)

    def _open(self, turn: Turn, sealed: Envelope) -> None:
        """Let the domain have an envelope of ours; whatever is wrong with it changes nothing."""
        for route in self.state.channels.find_all(sealed.rk):
            mark = Mark.of(turn)
            reach = route.owner if route.channel.kind is ChannelKind.ROOM else None
            try:
                reach = self.desk.inbox.take(turn, route, sealed)
            except PeerFault:
                self.late_faults += mark.changed(turn)
                mark.back(turn)
                continue
            finally:
                self.chores.touched(reach)
            mark.keep(turn)
            break
        self.replay.left(turn, sealed.ts_ms)

    def _found(self, turn: Turn, found: MessagesFound) -> None:
        rooms = self.state.rooms
        if found.room in rooms.direct:
            rooms.direct[found.room].learn(turn, found.mids)
        elif (room_id := found.room) in rooms.inboxes or (room_id := hidden.beside(room_id)) in rooms.inboxes:
            rooms.inboxes[room_id].learn(turn, found.mids)

    # -- addresses --------------------------------------------------------------------------------

    def _record(self) -> bytes:
        now = Instant(self._clock.mono, self.mesh.mesh_time_ms(self._clock))  # whoever reads it goes by that
        return noderec.make_record(
            self._setup.identity.node_seed,
            addresses=self._found_at(),
            roles=self._setup.roles,
            seq=now.wall_ms // 1000,
            now=now,
        )

    def _found_at(self) -> tuple[str, ...]:
        """Where others can find us: our own addresses, and those of relays if nobody can dial us."""
        relays = tuple(address for address in self.mesh.relays() if address not in self.addresses)
        return (*self.addresses[: MAX_ADDRESSES - len(relays)], *relays)

    # -- letting go -------------------------------------------------------------------------------

    def _release(self, turn: Turn, mesh_effects: list[MeshEffect]) -> list[Effect]:
        """Turn what was gathered into effects: what others sealed, writes, then all that they allow."""
        if turn.rows or turn.posts or turn.behind:
            self.chores.touched(None)
        after, writes = list[Effect](), list[Write]()
        passed_on, mesh_effects = onward(mesh_effects)
        for effect in mesh_effects:
            self.meshing.take(turn, effect, writes, after)
        for order in self.desk.mesh_orders:
            after += self._down(turn, order)
        self.desk.mesh_orders.clear()
        for outdated in self.whereabouts.outdated(turn):
            after += self._down(turn, outdated)
        for address, source, key in turn.addresses:
            after += self._down(turn, AddAddress(address, source, key))
        if self.state.me.replaced:
            turn.posts.clear()
        attaching.shown(self.desk, turn)  # before what takes a message back that is shown now
        self.state.changing.shown(turn)
        self.desk.inbox.noticing.look(turn)  # what is shown now says what it says by now
        self.desk.inbox.receipts.look(turn)
        for wish in turn.of_peers:
            self.desk.blocks.order(turn, wish)
        while self.desk.blocks.orders:
            after += self._down(turn, BlockInput(self.desk.blocks.orders.pop(0)))
        if turn.rewrites:
            self.state.nonces.rewritten(turn)
        after += self.meshing.claiming(self.replay.watch(turn))
        for sealed in turn.posts:
            if sealed.kind == KEPT:
                writes += self.shelving.keep(sealed, self.state.channels.key_of(sealed.rk))
        after += self._published(turn)
        writes += written.rows(turn)
        self.desk.inbox.signals.typing.has_written(turn)
        writes += [RewriteMessage(*rewrite) for rewrite in turn.rewrites]
        delivered = written.outputs(turn, self.state.sessions, writes)
        writes += [written.placed(one) for one in turn.placed]
        if turn.sync_wanted:
            self.mesh.request_sync(turn.now)
        lookups = hidden.also(self.state.people, turn.lookups) if turn.lookups else ()
        after += [FindMessages(room, mids) for room, mids in lookups]
        after += [FetchMessages(room, mids) for room, mids in turn.fetches]
        after += [FetchMessages(room, mids, to_change=True) for room, mids in turn.reads]
        self.state.seq = turn.seq
        if any(written.is_going(out) for out in turn.out):
            self.desk.after.append(ShredSoon())
        first: list[Effect] = [Persist(tuple(writes))] if writes else []
        answers, self.desk.after = list(self.desk.after), []
        return [*passed_on, *first, *after, *delivered, *answers, *turn.files]

    def _published(self, turn: Turn) -> list[Effect]:
        """Give the mesh what a turn posts."""
        watched, out = frozenset(eid for _, eid in turn.carried.values()), list[Effect]()
        for start in range(0, len(turn.posts), PUBLISHED_AT_ONCE):
            some = tuple(turn.posts[start : start + PUBLISHED_AT_ONCE])
            out += self._down(turn, Publish(some, watched))
        return out

    def _down(self, turn: Turn, order: MeshInput) -> list[Effect]:
        """Give the mesh an order; none of these brings an envelope back."""
        out: list[Effect] = []
        for effect in self.mesh.handle(order, now=turn.now):
            assert not isinstance(effect, Arrived)
            self.meshing.take(turn, effect, [], out)
        return out
