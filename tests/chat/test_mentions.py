"""Who a message mentions, by the names of the node that sends it."""

from __future__ import annotations

import pytest

from node.chat import events
from node.chat.mentions import mentioned, mentions_me
from node.chat.people import People, Person
from node.errors import Refused
from node.wire.payload import MAX_MENTIONS

ANN, BOB, EVE = (bytes([number]) * 32 for number in (1, 2, 3))


def people() -> People:
    known = People(ANN, "ann")
    known.restore(Person(BOB, "bob.b"))
    known.restore(Person(EVE, "eve~abcd"))
    return known


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hello @bob.b", (BOB,)),
        ("@bob.b. and @ann, too", (BOB, ANN)),
        ("@bob.b @bob.b", (BOB,)),
        ("to @eve~abcd", (EVE,)),
        ("mail bob@bob.b and @nobody, @@ann", ()),
        ("nothing", ()),
    ],
)
def test_a_name_after_an_at_sign_mentions_who_is_here(text: str, found: tuple[bytes, ...]) -> None:
    assert mentioned(people(), text, (), {ANN, BOB, EVE}) == found


def test_who_is_not_here_is_not_mentioned_and_cannot_be_named() -> None:
    assert mentioned(people(), "@eve~abcd", (), {ANN, BOB}) == ()
    assert mentioned(people(), "@ann", ["bob.b", people().user_id(ANN)], {ANN, BOB}) == (BOB, ANN)
    for name in ("eve~abcd", "nobody"):
        with pytest.raises(Refused, match="not in this room") as fault:
            mentioned(people(), "", [name], {ANN, BOB})
        assert (fault.value.code, fault.value.field) == ("unknown_user", "mentions")


def test_no_message_mentions_more_than_it_may() -> None:
    known, here = people(), {ANN}
    for number in range(100, 150):
        known.restore(Person(bytes([number]) * 32, f"p{number}"))
        here.add(bytes([number]) * 32)
    text = " ".join(f"@p{number}" for number in range(100, 150))
    assert len(mentioned(known, text, (), here)) == MAX_MENTIONS


def test_only_anothers_live_message_that_mentions_us_is_news_of_a_mention() -> None:
    said = events.UserMessage(
        username="bob", timestamp=1, message="@ann", room="r", id="i", user_id="u", ts_ms=1, mentioned=True
    )
    assert mentions_me(said)
    for change in ({"mine": True}, {"history": True}, {"mentioned": False}, {"deleted": True}):
        fields = {name: getattr(said, name) for name in said.__struct_fields__}
        assert not mentions_me(events.UserMessage(**{**fields, **change}))
