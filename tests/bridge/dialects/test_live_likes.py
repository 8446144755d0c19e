"""Whether a message is liked, counted from what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from node.bridge.dialects.live_003.likes import MAX_NAMED, Likes, likes_of
from node.chat import events


def stored(count: int, users: list[str]) -> events.UserMessage:
    named = [events.Mention(user_id=user) for user in users]
    return events.UserMessage(
        username="bob", timestamp=1, message="hi", room="r", id="i", user_id="bob", ts_ms=1,
        reactions=[events.Reacted(emoji="👍", count=count, users=named), events.Reacted(emoji="😂", count=3)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("count", "users", "liked"), [(1, ["bob"], False), (1, ["ann"], True), (9, ["bob"], True), (0, [], False)]
)
def test_what_is_stored_is_where_counting_begins(count: int, users: list[str], liked: bool) -> None:
    assert likes_of(stored(count, users)).liked is liked


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=300))
def test_it_is_liked_while_anybody_but_its_author_likes_it(changes: list[tuple[int, bool]]) -> None:
    likes, real = Likes("0"), set[str]()
    for number, on in changes:
        user = str(number)
        if (user in real) is on:
            continue  # the node tells changes alone
        likes.take(user, on=on)
        real = real | {user} if on else real - {user}
        assert len(likes.named) <= MAX_NAMED
        if len(real) <= MAX_NAMED:
            assert likes.liked is bool(real - {"0"}) or likes.more
    for user in real:
        likes.take(user, on=False)
    assert not likes.liked
