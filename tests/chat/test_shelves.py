"""Shelves: what newcomers are handed alike is posted once, and each welcome names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from node.chat import shelves
from node.chat.objects import split
from node.chat.shelves import MAX_WAITING, Arrivals, Shelves
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant
from node.crypto.channel import Inner, join_channel
from node.crypto.epoch import NewEpoch, create_epoch
from node.crypto.ops import Meta
from node.crypto.welcome import Welcome, parse_welcome, shelved
from node.errors import CryptoFault, DecodeError
from node.wire import codec
from tests.chat.room_samples import ADA, NOW, Person, add_of, does, new_room, person

INVITE, JOIN = b"i" * 16, b"j" * 32


@dataclass
class Greeter:
    """A greeter's room and shelves; its turns are kept apart."""

    size: int
    shelves: Shelves = field(default_factory=Shelves)

    def __post_init__(self) -> None:
        self.log = new_room(ADA)
        self.crowd: list[Person] = [ADA]
        for number in range(2, self.size + 1):
            self.grow(person(number))

    def grow(self, who: Person) -> None:
        does(self.log, ADA, add_of(who))
        self.crowd.append(who)

    def welcome(self, at_ms: int = NOW) -> tuple[Welcome, Turn, NewEpoch]:
        turn = turn_at(at_ms)
        new = create_epoch(
            ADA.keys, room_id=self.log.room_id, gen=1, parents=(), heads=self.log.heads, now_ms=at_ms,
            reason=1, members=[(who.device, who.leaf) for who in self.crowd], entropy=turn.entropy,
        )  # fmt: skip
        bare = Welcome(self.log.room_id, (), (), new.announce, b"")
        made = self.shelves.lay_out(turn, INVITE, bare, self.log.ops_in_order(), new.slots)
        return made, turn, new


def turn_at(at_ms: int) -> Turn:
    return Turn(Instant(1.0, at_ms), at_ms, Random(at_ms).randbytes, 0)


def posted(welcome: Welcome, *turns: Turn) -> list[bytes]:
    """Return the inners that turns posted on a welcome's shelf."""
    channel = join_channel(welcome.shelf)
    return [channel.open(sealed) for turn in turns for sealed in turn.posts]


def read(welcome: Welcome, inners: list[bytes]) -> Welcome | None:
    """Let a newcomer take a welcome and then what is on its shelf."""
    arrivals, turn = Arrivals(), turn_at(NOW)
    whole = arrivals.take(turn, JOIN, parse_welcome(welcome.encode()), asked_ms=NOW)
    for inner in [] if whole is not None else inners:
        ((route, _),) = turn.watch
        found = arrivals.read(turn, route.part, inner)
        if found is not None:
            assert found[0] == JOIN
            return found[1]
    return whole


def test_a_small_room_is_handed_over_in_the_welcome_itself() -> None:
    greeter = Greeter(5)
    welcome, turn, new = greeter.welcome()
    assert (welcome.objects, turn.posts, welcome.slots) == ((), [], new.slots)
    assert welcome.encode()[1] == 1
    assert read(welcome, []) == welcome


def test_the_next_welcome_names_what_is_on_the_shelf_and_brings_what_came_since() -> None:
    greeter = Greeter(90)
    first, before, _ = greeter.welcome()
    assert first.ops == ()
    assert first.slots == b""
    greeter.grow(person(91))
    second, after, new = greeter.welcome()
    assert second.shelf == first.shelf
    assert second.objects[:-1] == first.objects[:-1]
    assert len(second.ops) == 1
    assert sum(len(sealed.raw) for sealed in after.posts) < 20_000, "slots alone"
    whole = read(second, posted(second, before, after))
    assert whole is not None
    assert whole.ops == tuple(op.raw for op in greeter.log.ops_in_order())
    assert whole.slots == new.slots


def test_newcomers_of_one_epoch_share_its_slots() -> None:
    greeter = Greeter(90)
    first, _, new = greeter.welcome()
    turn = turn_at(NOW)
    bare = Welcome(greeter.log.room_id, (), (), new.announce, b"")
    assert greeter.shelves.lay_out(turn, INVITE, bare, greeter.log.ops_in_order(), new.slots) == first
    assert not turn.posts


def test_another_day_and_another_invite_have_a_shelf_of_their_own() -> None:
    greeter = Greeter(90)
    first, _, new = greeter.welcome()
    later, turn, _ = greeter.welcome(NOW + DAY_MS)
    assert later.shelf != first.shelf
    assert read(later, posted(later, turn)) is not None
    bare = Welcome(greeter.log.room_id, (), (), new.announce, b"")
    other = greeter.shelves.lay_out(turn_at(NOW), b"o" * 16, bare, greeter.log.ops_in_order(), new.slots)
    assert other.shelf not in {first.shelf, later.shelf}


def test_a_log_larger_than_an_object_lies_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "OBJECT_BYTES", 30_000)
    greeter = Greeter(3)
    for _ in range(80):
        does(greeter.log, ADA, Meta(None, "t" * 900))
    welcome, turn, _ = greeter.welcome()
    assert len(welcome.objects) >= 3
    whole = read(welcome, list(reversed(posted(welcome, turn))))
    assert whole is not None
    assert whole.ops == tuple(op.raw for op in greeter.log.ops_in_order())


def test_what_does_not_belong_on_a_shelf_is_refused_and_a_strange_object_is_not_kept() -> None:
    welcome, turn, _ = Greeter(90).welcome()
    arrivals, mine = Arrivals(), turn_at(NOW)
    assert arrivals.take(mine, JOIN, welcome, asked_ms=NOW) is None
    ((route, day),) = mine.watch
    assert day < NOW // DAY_MS
    with pytest.raises(CryptoFault):
        arrivals.read(mine, route.part, codec.pack([int(Inner.WELCOME), b"x"]))
    with pytest.raises(CryptoFault):
        arrivals.read(mine, b"?" * 16, posted(welcome, turn)[0])
    for part in split(b"strange"):
        assert arrivals.read(mine, route.part, part) is None
    assert not arrivals._waiting[route.part].held


def test_an_object_that_is_no_log_ends_the_wait_and_nothing_else() -> None:
    content = codec.pack([9])
    name = shelves.object_id_of(content)
    welcome = Welcome(bytes(16), (), (), b"a", b"", shelf=bytes(32), objects=(name,))
    arrivals, turn = Arrivals(), turn_at(NOW)
    arrivals.take(turn, JOIN, welcome, asked_ms=NOW)
    part = turn.watch[0][0].part
    assert [arrivals.read(turn, part, inner) for inner in split(content)] == [None]
    assert not arrivals._waiting
    assert len(turn.unwatch) == 1


def test_of_many_welcomes_to_one_join_the_newest_are_waited_for() -> None:
    arrivals, turn = Arrivals(), turn_at(NOW)
    for number in range(3 * MAX_WAITING):
        shelf = number.to_bytes(32, "big")
        arrivals.take(
            turn, JOIN, Welcome(bytes(16), (), (), b"a", b"", shelf=shelf, objects=(shelf,)), asked_ms=NOW
        )
    assert len(arrivals._waiting) == MAX_WAITING
    assert len(turn.unwatch) == 2 * MAX_WAITING
    arrivals.forget(turn, JOIN)
    assert not arrivals._waiting


def test_a_welcome_has_one_spelling_and_never_nothing_to_enter_by() -> None:
    with pytest.raises(DecodeError):
        parse_welcome(Welcome(bytes(16), (), (), b"a", b"s").encode())
    twice = Welcome(bytes(16), (), (), b"a", b"s", shelf=bytes(32), objects=(bytes(32), bytes(32)))
    with pytest.raises(DecodeError):
        parse_welcome(twice.encode())
    assert shelved((b"op",)) != shelved((b"op",), b"s")
