"""How attachments are shown to frontends and given to browsers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from node.bridge import media
from node.bridge.http_attachments import _disposition
from node.chat import events

IDENT = "00f43f4a-8e5e-8ff3-9eca-c2f940b1275b"
KEPT = {
    "id": IDENT,
    "name": "tea.png",
    "type": "image/png",
    "size": 3,
    "state": "pending",
    "manifest": "c2VjcmV0",
}


def message(attachment: Any) -> events.UserMessage:
    return events.UserMessage(
        username="bob", timestamp=1, message='"attachment":{', room=IDENT, id=IDENT, user_id=IDENT, ts_ms=1,
        attachment=attachment, seq=1,
    )  # fmt: skip


def dresser(state: str | None = "ready") -> media.Dresser:
    return media.Dresser(lambda _ident: state, lambda ident: f"/{ident}?cap=1")


def test_a_frontend_sees_how_it_stands_and_where_it_is_and_not_the_key() -> None:
    wanted = {**KEPT, "state": "ready", "url": f"/{IDENT}?cap=1"}
    del wanted["manifest"]
    event = dresser().event(message(KEPT))
    assert isinstance(event, events.UserMessage) and event.attachment == wanted
    stored = dresser().stored(events.encode_json(message(KEPT)))
    assert msgspec.json.decode(stored)["attachment"] == wanted
    assert b"manifest" not in stored
    assert dresser(None).value(KEPT) == {**wanted, "state": "pending"}


def test_messages_that_answer_a_nonce_are_dressed_like_all_others() -> None:
    read = [msgspec.json.decode(events.encode_json(message(one))) for one in (KEPT, None)]
    (shown, plain) = (
        dresser().event(events.Ok(req=1, fields={"messages": read, "more": False})).fields["messages"]
    )
    assert shown["attachment"]["url"] == f"/{IDENT}?cap=1" and "manifest" not in shown["attachment"]
    assert plain == read[1] and "manifest" in read[0]["attachment"]
    other = events.Ok(req=1, fields={"rooms": []})
    assert dresser().event(other) is other


def test_what_nobody_can_read_is_no_attachment_and_other_events_stay_as_they_are() -> None:
    event = dresser().event(message({"manifest": "c2VjcmV0"}))
    assert isinstance(event, events.UserMessage) and event.attachment is None
    plain = message(None)
    assert dresser().event(plain) is plain
    body = events.encode_json(plain)
    assert dresser().stored(body) == body
    news = events.Attachment(id=IDENT, room=IDENT, name="x", state="progress", received=1, size=3)
    assert dresser().event(news) is news
    done = dresser().event(msgspec.structs.replace(news, state="ready"))
    assert isinstance(done, events.Attachment) and done.url == f"/{IDENT}?cap=1"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("Bytes = 10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=19-10", None),
        ("bytes=a-b", None),
        ("bytes=--5", None),
        ("bytes=1-2-3", None),
        ("bytes=\u0661-", None),
        ("bytes", None),
        ("", None),
    ],
)
def test_one_range_is_obeyed_and_what_is_none_is_everything(
    header: str | None, found: tuple[int, int] | None
) -> None:
    assert media.span(header, 100) == found


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=-"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="no such byte"):
        media.span(header, 100)
    with pytest.raises(ValueError, match="no such byte"):
        media.span("bytes=0-", 0)


def test_only_pictures_and_sound_that_run_nothing_are_shown_in_place() -> None:
    assert _disposition("a.png", "image/png").startswith("inline")
    for kind in ("image/svg+xml", "text/html", "application/pdf", "text/plain", "video/mp4", "x/y"):
        assert _disposition("a", kind).startswith("attachment")
    assert media.content_type("image/svg+xml") == "image/svg+xml"
    for kind in (
        "text/html",
        "application/xhtml+xml",
        "text/javascript",
        "application/xml",
        "x/y",
        "",
        "\r\nX: y",
    ):
        assert media.content_type(kind) == "application/octet-stream"


@given(st.text(max_size=100))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    header = _disposition(name, "x/y")
    assert header.isascii() and header.isprintable()
    assert header.count('"') == 2 and header.count(";") == 2
