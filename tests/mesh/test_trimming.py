"""Which links may go when there are more than a node looks for."""

from __future__ import annotations

from node.mesh.limits import MAX_LINKS, MAX_LINKS_RELAY
from node.mesh.trimming import SETTLED, Standing, most_links, surplus


def links(out: int, come: int, *, kept: int = 0, age: float = 100.0, eager: int = 0) -> list[Standing]:
    every = [Standing(n, n < out, age, n < kept, n < eager) for n in range(out + come)]
    assert len(every) == out + come
    return every


def test_up_to_two_above_the_target_all_stay() -> None:
    assert surplus(links(10, 0), target=8, relay=False) == []
    assert surplus(links(11, 0), target=8, relay=False) == list(range(11))


def test_only_links_of_our_own_choice_go_and_half_of_the_target_stays_so() -> None:
    assert surplus(links(5, 20), target=8, relay=False) == [0, 1, 2, 3, 4]
    assert surplus(links(4, 20), target=8, relay=False) == []


def test_kept_and_young_links_do_not_go() -> None:
    assert surplus(links(12, 0, kept=10), target=8, relay=False) == [10, 11]
    assert surplus(links(12, 0, kept=12), target=8, relay=False) == []
    assert surplus(links(12, 0, age=SETTLED - 1), target=8, relay=False) == []


def test_eager_links_go_last() -> None:
    assert surplus(links(12, 0, eager=9), target=8, relay=False) == [9, 10, 11]
    assert surplus(links(12, 0, eager=12), target=8, relay=False) == list(range(12))


def test_a_quarter_of_the_places_is_kept_for_newcomers() -> None:
    assert surplus(links(4, 44), target=8, relay=False) == []
    assert surplus(links(4, 45), target=8, relay=False) == list(range(4, 49))
    assert surplus(links(4, 45), target=8, relay=True) == []
    assert (most_links(relay=False), most_links(relay=True)) == (MAX_LINKS, MAX_LINKS_RELAY)
