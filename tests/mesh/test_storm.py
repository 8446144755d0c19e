"""Twenty thousand hostile frames in a row; `make torture ARGS='--frames 5000000'` is the long form."""

from __future__ import annotations

import pytest

from bench import storm
from bench.storm import Broken, Storm
from bench.storm_words import KINDS
from node.mesh.mesh import Mesh
from node.mesh.ports import DeadlineReached


@pytest.mark.mesh_attack("N05")
def test_twenty_thousand_hostile_frames_change_nothing_for_an_honest_friend() -> None:
    """M1, M2, M4, M5: what is accepted is genuine and comes once, memory stays small, the friend agrees."""
    found = Storm(5).run(20_000)
    assert found.links > 50 and found.published > 10 and found.accepted > found.published
    assert found.closed["malformed frames"] > 5 and len(found.closed) > 8
    assert set(found.sent) == set(KINDS)


def test_the_same_seed_gives_the_same_storm() -> None:
    """M9."""
    one, other = (Storm(6).run(1_000) for _ in range(2))
    assert (one.sent, one.closed, one.accepted) == (other.sent, other.closed, other.accepted)


def test_a_storm_finds_what_is_not_genuine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "_verify", lambda _env: None)
    with pytest.raises(Broken, match="not genuine"):
        Storm(5).run(5_000)


def test_a_storm_finds_a_deadline_that_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Mesh.handle

    def deaf(self: Mesh, event: object, **rest: object) -> object:
        return [] if isinstance(event, DeadlineReached) else handle(self, event, **rest)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Mesh, "handle", deaf)
    with pytest.raises(Broken, match="does not move"):
        Storm(5).run(5_000)


def test_a_storm_finds_memory_that_only_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "BASE_WEIGHT", -storm.MOST_WEIGHT * (storm.FOES + 1))
    with pytest.raises(Broken, match="holds"):
        Storm(5).run(1_000)
