"""`gossamer send`, `history`, `tail`, `chat`: the messages themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import tzinfo
from pathlib import Path

import click

from node.chat.commands import MAX_HISTORY, MAX_MESSAGE_BYTES
from node.commandline import attachments
from node.commandline.app import App, Command, current_app, duration
from node.commandline.asking import Node, connected, with_node
from node.commandline.invites import open_invite, open_ones
from node.commandline.messages import change_lines, message_id, said
from node.commandline.notices import announcement_lines, notice_lines
from node.commandline.output import as_json, clock, harmless
from node.commandline.profile import presence_line
from node.commandline.receipts import marks, status_lines
from node.commandline.resolve import Row
from node.commandline.runtime import read_runtime
from node.errors import NodeError, Refused

SHOWN_AT_START = 20  # messages of a room that `chat` shows before it goes live
MAX_TYPED_AHEAD = 16  # lines read from a pipe before the node has taken them
ANYWHERE = ("user_invite", "invite_result", "announcement")  # shown in `chat` whatever room they name
CHAT_HELP = "/who  /invite NAME  /accept [INVITE]  /decline [INVITE]  /rooms  /quit"


@click.command(cls=Command)
@click.argument("room", metavar="ROOM")
@click.argument("text", metavar="TEXT|-", required=False)
@click.option("--file", "path", metavar="PATH", type=click.Path(path_type=Path), help="A file to go with it.")
@click.option("--reply-to", metavar="ID", help="The message that this answers.")
@click.option("--ttl", metavar="DURATION", help="Gone everywhere so long after it was sent.")
@click.option("--kind", help="text, image, audio, gif or file.")
@with_node
async def send(node: Node, /, room: str, text: str | None, path: Path | None, **more: str | None) -> None:
    """Send TEXT, a file or both to ROOM and print the message's id.

    `-` reads the text from standard input.
    """
    if text is None and path is None:
        raise Refused("invalid", "there is nothing to send: give TEXT or --file")
    if text == "-":
        text = sys.stdin.read().removesuffix("\n")
    if not text and path is None:  # a variable or a file that was empty by mistake
        raise Refused("invalid", "the text is empty: give words or --file")
    found = await node.room(room)
    reply_to, ttl = more["reply_to"], more["ttl"]
    answered = None if reply_to is None else await message_id(node, str(found["room"]), reply_to)
    file = None if path is None else str((await attachments.put(node, path))["attachment"])
    keys = {
        "attachment": file,
        "reply_to": answered,
        "ttl": duration(ttl) if ttl else None,
        "kind": more["kind"],
    }
    sent = await node.call("user_message", room=found["room"], message=text or "", **keys)
    node.app.emit(sent, [str(sent["id"])])


@click.command(cls=Command)
@click.argument("room", metavar="ROOM")
@click.option("--limit", type=click.IntRange(1, MAX_HISTORY), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only what came before this message.")
@click.option("--ids", is_flag=True, help="Begin each message with the first 8 characters of its id.")
@with_node
async def history(node: Node, room: str, limit: int, before: str | None, ids: bool) -> None:
    """Print the newest messages of ROOM, oldest first."""
    found = await node.room(room)
    first = None if before is None else await message_id(node, str(found["room"]), before)
    got = await node.call("history_get", room=found["room"], limit=limit, before=first)
    ledger = await node.call("ledger_get", room=found["room"])
    became = marks(got["messages"], ledger)
    lines = [line for message in got["messages"] for line in _listed(message, became, ids=ids)]
    node.app.emit(got, lines)
    if got.get("more") and got["messages"]:
        oldest = got["messages"][0]["id"]
        node.app.say(f"more:  {node.app.program} history {found['room']} --before {oldest}")


def _listed(event: Row, became: dict[str, str], *, ids: bool) -> list[str]:
    """Return a message's lines, the last with what became of it, if it is our own."""
    *before, last = message_lines(event)
    came = became.get(str(event.get("id")))
    lines = [*before, last if came is None else f"{last}  ({came})"]
    if not ids:
        return lines
    mark = harmless(str(event.get("id", ""))[:8])
    return [f"{mark if at == 0 else ' ' * 8}  {line}" for at, line in enumerate(lines)]


def message_lines(event: Row, zone: tzinfo | None = None) -> list[str]:
    """Return a message as lines for a person: time, name, text; further lines are indented."""
    when = clock(event.get("timestamp", 0), zone)[11:] or "?"
    who = harmless(str(event.get("username", "?")))
    if event.get("kind") == "unreadable":
        return [f"{when}  ({_unreadable(event, who)})"]
    first, *rest = said(event)
    gap = ["(something before this is missing)"] if event.get("gap") else []
    return [*gap, f"{when}  {who}: {first}", *rest, *attachments.file_lines(event)]


def _unreadable(event: Row, who: str) -> str:
    count = event.get("missing")
    what = "a message" if count == 1 else f"{count} messages"
    whose = f"of {who}" if who else "that others had seen"
    return f"{what} {whose} cannot be read yet"


def event_lines(event: Row, names: dict[str, str], zone: tzinfo | None = None) -> list[str]:
    """Return any event as lines for a person in `chat`; those that say nothing to a person give none.

    `names` is room id to room name.
    """
    who = harmless(str(event.get("username", "?")))
    where = harmless(names.get(str(event.get("room")), str(event.get("room_name") or event.get("room"))))
    match event.get("event"):
        case "user_message":
            return message_lines(event, zone)
        case "message_healed":
            return [f"* came late: {line}" for line in message_lines(event, zone)] if "id" in event else []
        case "attachment":
            return attachments.news(event)
        case "user_join":
            return [f"* {who} {'is back' if event.get('reason') == 'reconnect' else f'joined {where}'}"]
        case "user_leave":
            how = {"disconnect": "is disconnected", "removed": f"was removed from {where}"}
            return [f"* {who} {how.get(str(event.get('reason')), f'left {where}')}"]
        case "user_invite":
            sender, invite = harmless(str(event.get("sender"))), harmless(str(event.get("invite")))
            what = f"a game ({where})" if event.get("kind") == "game" else where
            return [f"* {sender} invites you to {what}:  /accept {invite[:8]}  or  /decline {invite[:8]}"]
        case "announcement":
            return announcement_lines(event, where)
        case "invite_result":
            what = f"a game ({where})" if event.get("kind") == "game" else where
            why = f" ({harmless(str(event['why']))})" if "why" in event else ""
            return [f"* invite to {what}: {harmless(str(event.get('response')))}{why}"]
        case "contact_added":
            return [f"* {who} is a contact now"]
        case "presence":
            return [f"* {presence_line(event)}"]
        case "contact_requested":
            said = harmless(str(event.get("message", "")))
            return [f"* {who} asks to be a contact{': ' + said if said else ''}"]
        case "contact_request_cancelled":
            return [f"* {who} asks no more"]
        case "contact_rejected":
            return [f"* {who} does not want to be a contact"]
        case "contact_removed":
            return [f"* {who} is no contact any more"]
        case "connectivity":
            return [f"* mesh: {harmless(str(event.get('state')))}"]
        case "message_status":
            return status_lines(event)
        case "warning" | "error":
            return [f"! {harmless(str(event.get('message')))}"]
        case _:
            return change_lines(event)


@click.command(cls=Command)
@click.option("--since", type=click.IntRange(0), metavar="SEQ", help="Replay what came after SEQ first.")
def tail(since: int | None) -> None:
    """Print every event, one JSON object a line, until Ctrl-C."""
    app = current_app()
    asyncio.run(_tail(app, since))


async def _tail(app: App, since: int | None) -> None:
    resume = None if since is None else {"epoch": log_epoch(app.home_dir), "seq": since}
    async with connected(app, resume=resume) as node:
        async for event in node.client.events():
            click.echo(as_json(event))


def log_epoch(home: Path) -> str:
    """Return the log epoch that the running node wrote into runtime.json; raises Refused."""
    epoch = read_runtime(home).get("log_epoch")
    if epoch is None:
        raise Refused("not_running", f"no node runs in {home}: start it with `gossamer run`")
    return str(epoch)


@click.command(cls=Command)
@click.argument("room", metavar="[ROOM]", required=False)
def chat(room: str | None) -> None:
    """Chat in ROOM: each line is sent; /quit or end of input ends it."""
    asyncio.run(_chat(current_app(), room))


async def _chat(app: App, text: str | None) -> None:
    async with connected(app) as node:
        room = await _choose(node, text)
        names = {str(r["room"]): str(r["name"]) for r in await node.rooms()}
        app.say(f"{harmless(str(room['name']))}   {CHAT_HELP}")
        shown = await node.call("history_get", room=room["room"], limit=SHOWN_AT_START)
        for message in shown["messages"]:
            _print(app, message, message_lines(message))
        hearing = asyncio.create_task(_hear(node, str(room["room"]), names))
        typing = asyncio.create_task(_type(node, room))
        done, waiting = await asyncio.wait((hearing, typing), return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()


async def _choose(node: Node, text: str | None) -> Row:
    if text is not None:
        return await node.room(text)
    rooms = await node.rooms()
    if len(rooms) == 1:
        return rooms[0]
    if not rooms:
        told = "make one:  gossamer room create NAME"
        if open_ones(node, await node.invites()):
            told = "accept what you are asked to:  gossamer invite accept"
        raise Refused("room_not_found", f"you are in no room yet; {told}")
    candidates = [{"room": r["room"], "name": r["name"]} for r in rooms]
    raise Refused("ambiguous_room", "you are in several rooms: say which", candidates=candidates)


async def _hear(node: Node, room: str, names: dict[str, str]) -> None:
    here = {str(m["user_id"]) for m in (await node.call("room_get", room=room))["members"]}
    here.discard(str(node.client.hello["user_id"]))
    told: list[str] = []
    async for event in node.client.events():
        if event.get("event") == "user_join" and event.get("room") == room:
            here.add(str(event.get("user_id")))
        if event.get("event") == "presence" and event.get("user_id") not in here:
            continue
        if event.get("event") == "notification":
            _print(node.app, event, notice_lines(event, room))
        elif event.get("room") in (room, None) or event.get("event") in ANYWHERE:
            lines = event_lines(event, names)
            if event.get("event") == "attachment":
                lines = attachments.news(event, node.app.program)
            if event.get("event") == "message_status" and lines == told and not node.app.json:
                continue  # of the messages before, and said
            told = lines
            _print(node.app, event, lines)


def _print(app: App, event: Row, lines: list[str]) -> None:
    if app.json:
        click.echo(as_json(event))
        return
    for line in lines:
        click.echo(line)


async def _type(node: Node, room: Row) -> None:
    async for line in stdin_lines():
        try:
            if not await _say(node, room, line):
                return
        except NodeError as exc:
            click.echo(f"! {harmless(str(exc))}", err=True)


async def _say(node: Node, room: Row, line: str) -> bool:
    """Carry out one typed line; False ends the chat."""
    if not line.startswith("/"):
        if line.strip():
            await node.call("user_message", room=room["room"], message=line)
        return True
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    match word:
        case "/quit" | "/q":
            return False
        case "/who":
            found = await node.call("room_get", room=room["room"])
            for member in found["members"]:
                name, presence = str(member["username"]), str(member.get("presence", ""))
                click.echo(f"  {harmless(name)}  {harmless(presence)}")
        case "/rooms":
            for other in await node.rooms():
                click.echo(f"  {other['room']}  {harmless(str(other['name']))}")
        case "/invite" if rest:
            await node.call("user_invite", target=await node.user(rest), room=room["room"])
        case "/accept" | "/decline":
            found_invite = await open_invite(node, rest or None)
            await node.call("user_invite_response", response=word[1:], invite=found_invite)
        case _ if word.startswith("//"):
            await node.call("user_message", room=room["room"], message=line[1:])
        case _:
            click.echo(CHAT_HELP, err=True)
    return True


async def stdin_lines() -> AsyncIterator[str]:
    """Yield the lines of standard input as they are typed, without blocking the loop or the exit."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    places = threading.Semaphore(MAX_TYPED_AHEAD)
    loop = asyncio.get_running_loop()

    def feed() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            for line in _read_lines():
                places.acquire()
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=feed, daemon=True, name="stdin").start()
    while (line := await lines.get()) is not None:
        places.release()
        yield line


def _read_lines() -> Iterator[str]:
    """Read standard input line by line, past its buffer: a thread that waits there would block the exit.

    A line that grows beyond what any message may have is cut into pieces, which the node then refuses.
    """
    try:
        source = sys.stdin.fileno()
    except (OSError, ValueError):  # not a file of the system
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    held = b""
    while chunk := os.read(source, MAX_MESSAGE_BYTES):
        *whole, held = (held + chunk).split(b"\n")
        if len(held) > 4 * MAX_MESSAGE_BYTES:
            whole, held = [*whole, held], b""
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
    if held:
        yield held.decode("utf-8", "replace")
