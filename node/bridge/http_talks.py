"""HTTP requests of a dialect: each is a talk in a session of its own, for as long as it takes to answer.

The talk decides what is asked and answered (`node.bridge.one_talk`); here its commands reach the engine and
are put on record as those of any frontend, and a request that the node does not answer in time is ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from aiohttp import web

from node.bridge.audit import Who
from node.bridge.close_codes import ORIGIN_GONE, UNAUTHORIZED
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
ENDS: Final = {UNAUTHORIZED: ("unauthorized", 401), ORIGIN_GONE: ("origin_not_allowed", 403)}
"""Why the bridge closes sessions of this kind; in all other cases it is stopping."""
BUSY: Final = "too many requests are under way, or the node is stopping"
Talking: TypeAlias = Callable[[], Awaitable[Talk[Reply]]]


class Hosting(Protocol):
    """What is needed of the bridge."""

    @property
    def around(self) -> Surroundings:
        """What every frontend shares."""
        ...

    def attach(self, grant: Grant | None, make: Callable[[int], OneRequest]) -> OneRequest | None:
        """Make a frontend with a new number and keep it; None if there are too many."""
        ...

    def detach(self, number: int) -> None:
        """Forget a frontend that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Came:
    """Where a request came from: the page's origin, and the port of this machine."""

    origin: str | None = None
    port: int | None = None


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

    def __init__(self, number: int, asker: Asker, around: Surroundings, came: Came) -> None:
        super().__init__(number, around, origin=came.origin)
        self.port = came.port
        self._asker = asker
        self._one: OneTalk | None = None
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

    async def run(self, talk: Talk[Reply], rate: Allowance | None) -> Reply:
        """Return what is answered."""
        one = self._one = OneTalk(self.number, talk, self._asker, rate)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._waits():  # noqa: ASYNC110 - the inbox is the daemon's and tells nobody
                    await asyncio.sleep(PAUSE)
                if not self._done.is_set():
                    self._feed(one.begin(self.around.clock()))
                await self._done.wait()
        except TimeoutError:
            one.give_up(Refused("timeout", LATE, retryable=True), self.around.clock())
        finally:
            one.close()
            for name, code in one.denied:
                self._refused(name, code)
            await self._ended()
        return self._ending or one.reply or told(503, "timeout", LATE)

    def _woken(self) -> None:
        """Nothing is written but the reply."""

    def _waits(self) -> bool:
        return self.around.backlog() >= MAX_BACKLOG and not self._done.is_set()

    def _queue(self, event: events.Event) -> None:
        if self._one is not None and not self._done.is_set():
            self._feed(self._one.answered(event, self.around.clock()))

    def _value(self, body: bytes) -> Any:
        return msgspec.json.decode(self._as_shown(body))

    def _feed(self, inputs: list[BridgeInput]) -> None:
        """Hand on what is asked, one after the other, though an answer may come meanwhile."""
        self._todo.extend(inputs)
        if self._one is not None and self._one.reply is not None:
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
    """Runs the talks of requests."""

    def __init__(self, host: Hosting) -> None:
        self._host = host
        self._open = 0
        self._rates: OrderedDict[bytes, Allowance] = OrderedDict()

    async def answer(self, asker: Asker, came: Came, talking: Talking) -> Reply:
        """Answer one request, whose body `talking` reads; a refusal to begin is an answer as well."""
        if self._open >= MAX_AT_ONCE:
            return told(503, "busy", BUSY)
        around = self._host.around
        one = self._host.attach(asker.grant, lambda number: OneRequest(number, asker, around, came))
        if one is None:
            return told(503, "busy", BUSY)
        self._open += 1
        try:
            return await one.run(await talking(), self._rate(asker.grant))
        except BadBody as fault:
            return told(400, "bad_request", str(fault))
        except web.HTTPException:
            raise  # too large a body: the application answers
        except Exception:
            log.exception("a request could not be answered")
            return told(500, "internal", "this could not be answered; the log says why")
        finally:
            self._open -= 1
            self._host.detach(one.number)

    def _rate(self, grant: Grant) -> Allowance | None:
        """Return what all requests with a child token have together."""
        if not grant.limited:
            return None
        rate = self._rates.pop(grant.mark, None) or Allowance(RATE, BURST, self._host.around.clock().mono)
        self._rates[grant.mark] = rate
        while len(self._rates) > MAX_RATES:
            self._rates.popitem(last=False)
        return rate
