"""Clocks a day apart: the owner is told while it lasts, and nothing comes in the wrong order or too late."""

from __future__ import annotations

import pytest

from node.bridge.ports import Subscription
from node.chat import commands as c, events
from node.sim import EPOCH_MS, SimNode, Simulation
from tests.engine.worlds import befriend, invite, texts

DAY = 86_400.0


def apart(seed: str, skew: float) -> tuple[Simulation, SimNode, SimNode]:
    """Two contacts whose clocks are that many seconds apart from the start."""
    world = Simulation(seed)
    ann = world.add("ann")
    bob = world.add("bob")
    bob.crash()
    bob.skew_s = skew
    bob.setup = world.setup("bob", bob.setup.entropy, ["ann"])
    bob.store = type(bob.store)()
    bob.start()
    world.run(5)
    befriend(world, ann, bob)
    return world, ann, bob


def warnings(session: object) -> list[float]:
    """Return the offsets that a frontend was warned of."""
    found = session.of(events.Warning)  # type: ignore[attr-defined]
    return [one.offset_s for one in found if one.code == "clock_skew"]


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_the_owner_is_told_on_attaching_hourly_and_in_the_status_until_it_is_right_again(skew: float) -> None:
    world, ann, bob = apart(f"told {skew}", skew)
    session = bob.attach()
    assert len(warnings(session)) == 1 and (warnings(session)[0] < 0) == (skew > 0)
    assert bob.call(c.NodeStatus())["clock_skew_s"] == warnings(session)[0]
    world.run(3 * 3600)
    assert 2 <= len(warnings(session)) <= 4
    bob.skew_s = 0.0
    world.run(600)
    assert bob.call(c.NodeStatus())["clock_skew_s"] is None
    assert warnings(bob.attach()) == []


def test_a_frontend_that_only_reads_is_warned_and_a_one_shot_call_is_not() -> None:
    _, _, bob = apart("once", DAY)
    assert len(warnings(bob.attach(scope="read"))) == 1
    once = bob.attach(plain=False, subscribe=Subscription(events=frozenset()))
    assert warnings(once) == []


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_what_two_say_to_each_other_comes_in_its_order_with_times_that_agree(skew: float) -> None:
    world, ann, bob = apart(f"order {skew}", skew)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    at_bob = invite(world, ann, bob, room)
    at_ann = ann.attach()
    for number in range(6):
        (ann, bob)[number % 2].call(c.UserMessage(room=room, message=str(number)))
        world.run(2)
    assert texts(at_ann)[-6:] == texts(at_bob)[-6:] == [str(number) for number in range(6)]
    for session in (at_ann, at_bob):
        times = [event.ts_ms for event in session.of(events.UserMessage)]
        assert times == sorted(times) and times[-1] - times[0] < 60_000
    both = zip(at_ann.of(events.UserMessage), at_bob.of(events.UserMessage), strict=False)
    assert all(abs(one.ts_ms - other.ts_ms) < 1_000 for one, other in both)
    now_ms = EPOCH_MS + world.time * 1000
    assert abs(at_ann.of(events.UserMessage)[-1].ts_ms - now_ms) < DAY * 1000


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_an_invite_runs_120_seconds_whatever_the_clocks_say(skew: float) -> None:
    world, ann, bob = apart(f"invite {skew}", skew)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    at_ann, at_bob = ann.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    assert world.run_until(lambda: bool(at_bob.of(events.UserInvite)), 10)
    begun = world.time
    assert world.run_until(lambda: bool(at_ann.of(events.InviteResult)), 10)
    for node, event in ((ann, at_ann.of(events.InviteResult)[0]), (bob, at_bob.of(events.UserInvite)[0])):
        assert abs(event.expires_at - (EPOCH_MS / 1000 + begun + node.skew_s + 120)) < 3, node.name
    world.run(115)
    assert [e.response for e in at_bob.of(events.InviteResult)] == []
    assert world.run_until(lambda: bool(at_bob.of(events.InviteResult)), 10)
    assert abs(world.time - begun - 120) < 1
    world.run(3)
    assert [e.response for e in at_ann.of(events.InviteResult)] == ["delivered", "ignore"]


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_an_offer_that_is_not_shown_yet_ends_in_seven_days_by_the_clock_of_each(skew: float) -> None:
    world, ann, bob = apart(f"offer {skew}", skew)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(5)
    for node in (ann, bob):
        (row,) = node.call(c.InviteList())["invites"]
        assert row["state"] == "offered"
        ends = EPOCH_MS / 1000 + world.time + node.skew_s + 7 * DAY
        assert abs(row["expires_at"] - ends) < 10, node.name


def test_presence_and_profiles_work_across_the_day_and_over_the_correction() -> None:
    world, ann, bob = apart("seen", DAY)
    bob.attach()
    at_ann = ann.attach()
    bob.call(c.ProfileSet(status="tomorrow"))
    world.run(70)
    row = ann.call(c.ContactList())["contacts"][0]
    assert (row["presence"], row["status"]) == ("online", "tomorrow")
    bob.skew_s = 0.0
    world.run(400)  # mesh time went back by half a day: what is newer is newer all the same
    bob.call(c.ProfileSet(status="today"))
    bob.call(c.PresenceSet(state="away"))
    world.run(70)
    row = ann.call(c.ContactList())["contacts"][0]
    assert (row["presence"], row["status"]) == ("away", "today")
    assert [e.status for e in at_ann.of(events.Profile)][-2:] == ["tomorrow", "today"]


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_a_clock_that_is_set_right_loses_nothing_of_what_is_said_after(skew: float) -> None:
    world, ann, bob = apart(f"right {skew}", skew)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    invite(world, ann, bob, room)
    direct = bob.call(c.DmOpen(username="ann"))["room"]
    bob.call(c.UserMessage(room=direct, message="before"))
    world.run(5)
    at_ann, at_bob = ann.attach(), bob.attach()
    bob.skew_s = 0.0
    said = []
    for number in range(4):
        for node in (ann, bob):
            said.append(f"{number} {node.name}")
            node.call(c.UserMessage(room=room, message=said[-1]))
            node.call(c.UserMessage(room=direct, message=said[-1] + " direct"))
            world.run(60)
    for session in (at_ann, at_bob):
        shown = [text for text in texts(session) if text != "before"]
        assert [text for text in shown if "direct" not in text] == said
        assert [text for text in shown if "direct" in text] == [text + " direct" for text in said]
        assert not any(event.gap for event in session.of(events.UserMessage))


@pytest.mark.mesh_attack("N15")
@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_a_clock_that_is_a_day_off_makes_no_envelope_expire_that_the_others_still_have(skew: float) -> None:
    """M10; and no peer makes any expire by what it says of the time."""
    world, ann, bob = apart(f"expires {skew}", skew)
    world.run(60)
    true_ms = EPOCH_MS + round(world.time * 1000)
    for node in (ann, bob):
        assert node.engine is not None
        expires_at, own = node.engine.expires_at(node.now()), node.now().wall_ms
        assert expires_at <= min(own, node.engine.mesh.mesh_time_ms(node.now()))
        assert expires_at - true_ms <= DAY * 1000 / 2 + 1_000, "between two the mesh is half way"
