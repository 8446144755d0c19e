"""Runs in which the long test once found something, step by step as it printed them."""

from __future__ import annotations

from tests.engine.invariants.machine import Invariants


def test_a_member_back_after_weeks_shows_what_was_said_on_two_branches_in_its_order() -> None:
    """An epoch on top of two was announced on the one, and the other came after what was said on it."""
    run = Invariants()
    run.begin(seed=601, restorable=False)
    run.whisper(a="dan", b="cat")
    run.leave(name="bob", pick=65_535)
    run.change(end=False, name="dan", pick=113)
    run.link(guest="bob", host="ann", pick=29_547, wait=0.0)
    run.flip(bit=65_536, inside=False, name="bob", pick=5_956)
    run.steal(name="bob")
    run.change(end=False, name="bob", pick=4_297)
    run.create(history=0, name="dan", open_=False)
    run.link(guest="dan", host="bob", pick=2_404, wait=0.02)
    run.replay(name="ann", pick=146)
    run.change(end=True, name="bob", pick=11_629)
    run.create(history=50, name="cat", open_=True)
    run.flip(bit=36_542, inside=True, name="ann", pick=65_536)
    run.crash(effects=1, name="cat", pick=8_668, speaks=True)
    run.trust(by="cat", policy="tofu", who="dan")
    run.replay(name="cat", pick=3_320)
    run.crash(effects=0, name="cat", pick=98, speaks=False)
    run.create(history=2, name="cat", open_=False)
    run.whisper(a="dan", b="dan")
    run.leave(name="ann", pick=116)
    run.remember(by="dan", history=3, pick=35_952)
    run.walk_in(name="ann", pick=11_369)
    run.away(days=33, name="ann")
    run.teardown()
