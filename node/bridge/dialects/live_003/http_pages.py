"""What every HTTP answer of the dialect 003 is made of: pages, errors, several commands at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from node.bridge.dialects.adapter import Ask, Reply, Talk
from node.chat import commands as c
from node.chat.commands.log import MAX_BATCH
from node.errors import Refused

PAGE: Final = 30
"""Items of a page, unless the frontend says how many."""
MAX_PAGE: Final = 100
"""Items of a page at most: each takes a few commands."""
MAX_OFFSET: Final = 2**53
"""The largest whole number that every frontend's JSON has."""
FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
STATUS: Final = {
    "unknown_user": 404,
    "room_not_found": 404,
    "message_not_found": 404,
    "notification_not_found": 404,
    "request_not_found": 404,
    "not_a_contact": 403,
    "forbidden": 403,
    "blocked": 403,
    "key_changed": 403,
    "device_revoked": 403,
    "rate_limited": 429,
    "locked": 503,
    "storage_full": 503,
    "too_many": 503,
    "timeout": 503,
    "busy": 503,
    "internal": 500,
}
"""How refusals are told; the others say that what was asked for cannot be: 422."""


def failed(fault: Refused) -> Reply:
    """Return the answer that says why there is no other."""
    told: dict[str, Any] = {"code": fault.code, "message": fault.message}
    if fault.field is not None:
        told["field"] = fault.field
    if fault.retry_after is not None:
        told["retry_after"] = fault.retry_after
    return Reply(STATUS.get(fault.code, 422), {"msg": fault.message, "error": told})


def unknown(what: str) -> Refused:
    """Return the refusal of a path that leads to nobody and nothing."""
    return Refused("unknown_user", what, field="username")


def window(ask: Ask) -> tuple[int, int]:
    """Return (limit, offset) of a list; raises Refused `invalid`."""
    return _number(ask, "limit", PAGE, 1, MAX_PAGE), _number(ask, "offset", 0, 0, MAX_OFFSET)


def _number(ask: Ask, key: str, default: int, least: int, most: int) -> int:
    text = ask.query.get(key)
    if text is None:
        return default
    if re.fullmatch("[0-9]{1,17}", text) is None or not least <= int(text) <= most:
        raise Refused("invalid", f"{key} is a number from {least} to {most}", field=key)
    return int(text)


def flag(ask: Ask, key: str) -> bool | None:
    """Return a `true` or `false` of the query, None if it is not there; raises Refused `invalid`."""
    text = ask.query.get(key)
    if text is None:
        return None
    if text.lower() not in FLAGS:
        raise Refused("invalid", f"{key} is true or false", field=key)
    return FLAGS[text.lower()]


def given(ask: Ask, key: str) -> str | None:
    """Return a text that the body may have; raises Refused `invalid` if the body is none that could."""
    if ask.body is None:
        return None
    if not isinstance(ask.body, dict):
        raise Refused("invalid", "a body is a JSON object", field="body")
    value = ask.body.get(key)
    if value is not None and not isinstance(value, str):
        raise Refused("invalid", f"{key} is a text", field=key)
    return value


def page(items: Sequence[Mapping[str, Any]], count: int) -> Reply:
    """Return a page of a list; `count` is of all pages."""
    return Reply(200, {"items": list(items), "count": count})


def together(asked: Sequence[c.Command]) -> Talk[list[dict[str, Any] | None]]:
    """Ask for several things at once; None stands for what was refused."""
    found: list[dict[str, Any] | None] = []
    for start in range(0, len(asked), MAX_BATCH):
        some = [msgspec.to_builtins(one) for one in asked[start : start + MAX_BATCH]]
        answer = yield c.Batch(commands=some)
        found += [one if one["event"] == "ok" else None for one in answer["results"]]
    return found
