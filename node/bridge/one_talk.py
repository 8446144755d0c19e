"""One HTTP request of a dialect as a pure machine: it runs the request's talk in a session of its own.

The session is there for this one request (`passing`): nothing is shown to it and nobody attends it, as with a
one-shot call, but what it asks counts as asking (docs/bridge.md, "How people are seen"). Every command is
held to the scope and rate of the credential that the request came with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from node.bridge.adapted import checked_of, fault_of, too_fast
from node.bridge.dialects.adapter import Frame, Last, Part, Reply, Talk, Wait
from node.bridge.guard import Grant, may
from node.bridge.ports import BridgeInput, CommandReceived, SessionStarted, Subscription
from node.bridge.session import Allowance
from node.chat import commands, events
from node.clock import Instant
from node.errors import Refused

HELLO: Final = 0
"""The `req` of the greeting; the commands count on from it."""
NOTHING: Final = Subscription(events=frozenset())


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the credential, what the frontend is called, whether the owner is behind it."""

    grant: Grant
    client: str
    passing: bool = True


class OneTalk:
    """`begin`, then `answered` with what the engine answers, until there is a `reply`; then `close`.

    `rate` is what the credential is held to, shared by its requests; None for one that has no limit.
    """

    def __init__(self, number: int, talk: Talk[Reply], asker: Asker, rate: Allowance | None) -> None:
        self.number = number
        self.reply: Reply | None = None
        self.denied: list[tuple[str, str]] = []
        """Commands, with their codes, that were refused before they reached the engine."""
        self._talk, self._asker, self._rate = talk, asker, rate
        self._req = HELLO

    def begin(self, now: Instant) -> list[BridgeInput]:
        """Open the session and ask the first thing."""
        started = SessionStarted(
            self.number,
            self._asker.grant.scope,
            self._asker.grant.name,
            plain=False,
            client=self._asker.client,
            subscribe=NOTHING,
            req=HELLO,
            passing=self._asker.passing,
        )
        return [started, *self._go_on(None, None, now)]

    def answered(self, event: events.Event, now: Instant) -> list[BridgeInput]:
        """Go on with what was answered; anything else that the session is shown is not for it."""
        if self.reply is not None or self._req == HELLO:
            return []
        if isinstance(event, events.Ok) and event.req == self._req:
            return self._go_on(event.fields, None, now)
        if isinstance(event, events.Error) and event.req == self._req:
            return self._go_on(None, fault_of(event), now)
        return []

    def give_up(self, fault: Refused, now: Instant) -> list[BridgeInput]:
        """Let the talk say that no answer came, if it has not ended."""
        return [] if self.reply is not None else self._go_on(None, fault, now)

    def close(self) -> None:
        """End the talk, wherever it is."""
        self._talk.close()

    def _go_on(self, value: object, fault: Refused | None, now: Instant) -> list[BridgeInput]:
        while True:
            try:
                step = self._talk.send(value) if fault is None else self._talk.throw(fault)
            except StopIteration as end:
                self.reply = end.value
                return []
            value = fault = None
            if isinstance(step, Frame | Wait | Part):
                continue  # nobody is told, waited for or cut off, but by the reply
            asked = step.command if isinstance(step, Last) else step
            try:
                command = self._judged(asked, now)
            except Refused as refusal:
                self.denied.append((commands.name_of(asked), refusal.code))
                fault = refusal
                continue
            self._req += 1
            return [CommandReceived(self.number, msgspec.structs.replace(command, req=self._req))]

    def _judged(self, command: commands.Command, now: Instant) -> commands.Command:
        """Hold a command to its struct, the scope and the rate; raises Refused."""
        name = commands.name_of(command)
        checked = checked_of(command)
        if not may(self._asker.grant.scope, name):
            raise Refused("forbidden", f"a token of scope {self._asker.grant.scope} may not use {name}")
        count = len(command.commands) if isinstance(command, commands.Batch) else 1
        wait = 0.0 if self._rate is None else self._rate.wait(now.mono, count)
        if wait:
            raise too_fast(wait)
        return checked
