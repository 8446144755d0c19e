"""Frontends coming and going: what each is shown on attaching (docs/bridge.md section 3)."""

from __future__ import annotations

from msgspec import UNSET

from node import __version__
from node.bridge import intervals
from node.bridge.ports import EventsWritten, SessionEnded, SessionStarted, StartReplay
from node.chat import events
from node.chat.turn import Turn
from node.engine.desk import Desk
from node.engine.state import Consumer
from node.errors import Refused
from node.tables import Table

PROTOCOL = "gossamer/1"
FEATURES = [
    "resume", "consumer", "nonce", "msgpack", "direct", "batch", "search", "edits", "reactions", "ttl",
    "mentions", "attachments", "receipts", "presence", "notifications", "announcements", "games",
]  # fmt: skip
"""What a frontend may count on, by name; only ever added to."""
PLAIN_BACKLOG = 200
"""Messages no frontend has had that a plain session is given on connecting."""
MAX_CONSUMERS = 256
"""Names that cursors are kept for; an owner has a handful of frontends."""


def started(desk: Desk, turn: Turn, session: SessionStarted) -> None:
    """A frontend attached: greet it, replay what it asks for, show it the open invites."""
    state = desk.state
    if not state.read_only:
        desk.inviting.due(turn)
    state.sessions[session.session] = session
    if session.plain:
        backlog = StartReplay(session.session, 0, newest=PLAIN_BACKLOG, until_seq=turn.seq, had=state.had)
        desk.after.append(backlog)
    replayed = not session.plain and _greet(desk, turn, session)
    if state.read_only:
        return
    if session.can_answer and not replayed:
        desk.inviting.attach(turn, session.session)
    elif session.can_answer:
        for invite in state.invites.open_incoming():
            desk.inviting.resumed(turn, session.session, invite)
    desk.inbox.beats.came(turn, session.session)
    skew = desk.mesh.skew_s
    if skew is not None and session.listens:
        turn.reply(session.session, clock_skew(skew))
    if session.listens and desk.mesh.cloned(turn.now):
        turn.reply(session.session, cloned())


def kept(desk: Desk, turn: Turn) -> None:
    """The vault was opened: frontends that had stayed go on where they were, and are told so."""
    stayed = desk.state.sessions
    if stayed:
        turn.tell(events.Connectivity(state=desk.mesh.connectivity))
    for started in stayed.values():
        if started.consumer not in desk.state.consumers:  # it came while there was no room to note it
            _seen(desk, turn, started)
    for session in [number for number, started in stayed.items() if started.can_answer]:
        for invite in desk.state.invites.open_incoming():
            desk.inviting.resumed(turn, session, invite)


def _greet(desk: Desk, turn: Turn, session: SessionStarted) -> bool:
    """Answer a hello; True if the log is replayed from where the frontend, or its consumer, stopped."""
    state = desk.state
    number = session.session
    hello = events.Hello(
        req=UNSET if session.req is None else session.req,
        protocol=PROTOCOL,
        node_version=__version__,
        user_id=state.me.user_id,
        username=state.me.profile.username,
        log_epoch=state.log_epoch,
        seq=turn.seq,
        features=FEATURES,
        deprecated=[],
        connectivity=desk.mesh.connectivity,
    )
    turn.reply(number, hello)
    after = _position(desk, session)
    _seen(desk, turn, session)
    if after is None:
        return False
    if after < state.first_seq - 1 or after > turn.seq or not _same_epoch(desk, session):
        lost = events.Error(
            code="resync_required",
            message="what comes after this seq is not in the log: read the rooms again, go on from here",
            req=session.req,
            extra={"log_epoch": state.log_epoch, "seq": turn.seq},
        )
        turn.reply(number, lost)
        return False
    desk.after.append(StartReplay(number, after))
    return True


def clock_skew(offset_s: float) -> events.Warning:
    """Return the warning that this machine's clock is off; `offset_s` is how far the others' are ahead."""
    way = "behind" if offset_s > 0 else "ahead of"
    text = f"this machine's clock is some {abs(offset_s):.0f} s {way} the others': set it right"
    return events.Warning(code="clock_skew", message=text, offset_s=offset_s)


def cloned() -> events.Warning:
    """Return the warning that another process has this node's key."""
    text = "a peer has a link to another node with this node's key: run one home on one machine only"
    return events.Warning(code="cloned", message=text)


def _position(desk: Desk, session: SessionStarted) -> int | None:
    if session.resume is not None:
        return session.resume.seq
    known = None if session.consumer is None else desk.state.consumers.get(session.consumer)
    return None if known is None else known.seq


def _seen(desk: Desk, turn: Turn, session: SessionStarted) -> None:
    """Note that a consumer is here; a new one begins at its first hello, like any session."""
    if session.consumer is None or desk.state.read_only:
        return
    known = desk.state.consumers.get(session.consumer)
    try:
        move(desk, turn, session.consumer, turn.seq if known is None else known.seq)
    except Refused as fault:
        turn.reply(session.session, events.error_of(fault, session.req))


def move(desk: Desk, turn: Turn, name: str, seq: int) -> int:
    """Move a consumer's cursor, never back; returns where it is. Refused: `too_many` consumers."""
    consumers = desk.state.consumers
    known = consumers.get(name)
    if known is None and len(consumers) >= MAX_CONSUMERS:
        raise Refused("too_many", f"{MAX_CONSUMERS} consumers are remembered already", field="consumer")
    moved = Consumer(seq if known is None else max(seq, known.seq), turn.now.wall_ms)
    consumers[name] = moved
    turn.put(Table.CONSUMERS, name.encode(), (moved.seq, moved.seen_ms))
    return moved.seq


def _same_epoch(desk: Desk, session: SessionStarted) -> bool:
    return session.resume is None or session.resume.epoch == desk.state.log_epoch


def ended(desk: Desk, turn: Turn, session: SessionEnded) -> None:
    """A frontend is gone."""
    desk.inbox.beats.went(turn, session.session)
    desk.state.remote_avatars.pop(session.session, None)
    gone = desk.state.sessions.pop(session.session, None)
    known = None if gone is None else desk.state.consumers.get(gone.consumer or "")
    if gone is not None and gone.consumer is not None and known is not None:
        move(desk, turn, gone.consumer, known.seq)
    desk.inviting.shown.pop(session.session, None)


def written(desk: Desk, turn: Turn, upto: EventsWritten) -> None:
    """A frontend that shows all messages has been handed this part of the log."""
    had = intervals.joined(desk.state.had, upto.after, upto.upto)
    if had != desk.state.had:
        desk.state.had = had
        turn.put(Table.SETTINGS, b"shown", had)
