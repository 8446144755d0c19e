"""HTTP requests of a dialect: each is a talk in a session of its own, for as long as it takes to answer.

The talk decides what is asked and answered (`node.bridge.one_talk`); here its commands reach the engine and
are put on record as those of any frontend, and a request that the node does not answer in time is ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from aiohttp import web

from node.bridge.audit import Who
from node.bridge.dialects.adapter import Reply, Talk
from node.bridge.dialects.native import MAX_DEPTH, too_deep
from node.bridge.guard import Grant
from node.bridge.http_frontend import MAX_BACKLOG, Frontend, Surroundings
from node.bridge.one_talk import Asker, OneTalk
from node.bridge.ports import BridgeInput, StartReplay
from node.bridge.session import BURST, RATE, Allowance
from node.chat import events
from node.clock import Instant
from node.errors import Refused

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 64
"""Requests under way: a page makes a handful, and each holds a session of the engine."""
ANSWER_SECONDS: Final = 10.0
"""Seconds in which the node answers, or it is told that it did not."""
BODY_SECONDS: Final = 30.0
"""Seconds in which a body has to come: its frontend is on the same machine."""
MAX_RATES: Final = 1_024
"""Tokens whose rate is remembered, the newest: more than a node has."""
PAUSE: Final = 0.005
LATE: Final = "the node did not answer in time"
ENDS: Final = {4401: ("unauthorized", 401), 4403: ("origin_not_allowed", 403)}
"""Why the bridge closes sessions of this kind; in all other cases it is stopping."""
Attached = Callable[[Frontend], AbstractContextManager[None]]
"""Has a frontend attached for a while."""


class BadBody(Exception):
    """A body is no JSON, or none that is read."""


async def body_of(request: web.Request) -> Any:
    """Return the JSON of a request, None where it has no body.

    Raises:
        BadBody: If it is no JSON, nested too deep, or does not come.
    """
    if not request.body_exists:
        return None
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = (await request.read()).decode()
        if not text.strip():
            return None
        if too_deep(text):
            raise BadBody(f"a body is nested at most {MAX_DEPTH} deep")
        return msgspec.json.decode(text)
    except TimeoutError:
        raise BadBody("the body did not come") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise BadBody("a body has to be JSON") from exc


class OneRequest(Frontend):
    """A request as the engine and the bridge see it: a frontend that is shown nothing and soon gone."""

    dialect = "003"

    def __init__(self, one: OneTalk, asker: Asker, around: Surroundings, *, origin: str | None) -> None:
        super().__init__(one.number, around, origin=origin)
        self._one, self._asker = one, asker
        self._done = asyncio.Event()
        self._todo: deque[BridgeInput] = deque()
        self._feeding = False
        self._ending: Reply | None = None

    @property
    def grant(self) -> Grant:
        """What its credential opens."""
        return self._asker.grant

    @property
    def phase(self) -> str:
        """What it is, for the metrics."""
        return "request"

    def close(self, code: int, reason: str) -> None:
        """Answer at once that it is over."""
        name, status = ENDS.get(code, ("busy", 503))
        self._ending = told(status, name, reason)
        self._done.set()

    def abort(self) -> None:
        """Answer at once that it is over."""
        self._done.set()

    def tick(self, now: Instant) -> None:
        """End with its token."""
        self._expire(now)

    def start_replay(self, effect: StartReplay) -> None:
        """Nothing is replayed to a request."""

    async def run(self) -> Reply:
        """Return what is answered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._waits():  # noqa: ASYNC110 - the inbox is the daemon's and tells nobody
                    await asyncio.sleep(PAUSE)
                if not self._done.is_set():
                    self._feed(self._one.begin(self.around.clock()))
                await self._done.wait()
        except TimeoutError:
            fault = Refused("timeout", LATE, retryable=True)
            self._one.give_up(fault, self.around.clock())
        finally:
            self._one.close()
            await self._ended()
        return self._ending or self._one.reply or told(503, "timeout", LATE)

    def _waits(self) -> bool:
        return self.around.backlog() >= MAX_BACKLOG and not self._done.is_set()

    def _queue(self, event: events.Event) -> None:
        if isinstance(event, events.Ok | events.Error) and not self._done.is_set():
            self._feed(self._one.answered(event, self.around.clock()))

    def _value(self, body: bytes) -> Any:
        return msgspec.json.decode(self._as_shown(body))

    def _feed(self, inputs: list[BridgeInput]) -> None:
        """Hand on what is asked, one after the other, though an answer may come meanwhile."""
        self._todo.extend(inputs)
        if self._one.reply is not None:
            self._done.set()
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._todo:
                self._submit(self._todo.popleft())
        finally:
            self._feeding = False

    def _who(self) -> Who:
        """Name the frontend without a number: each of its requests has another."""
        return Who(self.grant.name, self.grant.via, self._client)


def told(status: int, code: str, message: str) -> Reply:
    """Return the answer to a request that no talk has answered."""
    return Reply(status, {"msg": message, "error": {"code": code, "message": message}})


class Talks:
    """Runs the talks of requests; `attached` has the engine's orders reach one."""

    def __init__(self, around: Surroundings, attached: Attached) -> None:
        self._around, self._attached = around, attached
        self._open = 0
        self._rates: OrderedDict[bytes, Allowance] = OrderedDict()

    async def answer(self, talk: Talk[Reply], asker: Asker, number: int, *, origin: str | None) -> Reply:
        """Run one talk in the session of this number; a refusal to begin is an answer as well."""
        if self._open >= MAX_AT_ONCE:
            return told(503, "busy", "too many requests are under way, or the node is stopping")
        running = OneTalk(number, talk, asker, self._rate(asker.grant))
        one = OneRequest(running, asker, self._around, origin=origin)
        self._open += 1
        try:
            with self._attached(one):
                return await one.run()
        except Exception:
            log.exception("a request could not be answered")
            return told(500, "internal", "this could not be answered; the log says why")
        finally:
            self._open -= 1

    def _rate(self, grant: Grant) -> Allowance | None:
        """Return what all requests with a child token have together."""
        if not grant.limited:
            return None
        rate = self._rates.pop(grant.mark, None) or Allowance(RATE, BURST, self._around.clock().mono)
        self._rates[grant.mark] = rate
        while len(self._rates) > MAX_RATES:
            self._rates.popitem(last=False)
        return rate
