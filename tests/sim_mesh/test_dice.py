from __future__ import annotations

from node.sim_mesh.dice import Dice, fixed


def test_the_same_seed_gives_the_same_bytes_and_numbers() -> None:
    one, two, other = Dice("7"), Dice("7"), Dice("8")
    drawn = [(one(5), one.random(), one.below(10)) for _ in range(50_000)]
    assert drawn == [(two(5), two.random(), two.below(10)) for _ in range(50_000)]
    assert drawn[0] != (other(5), other.random(), other.below(10))


def test_numbers_fill_their_range_and_do_not_leave_it() -> None:
    dice = Dice("7")
    assert {dice.below(6) for _ in range(1_000)} == set(range(6))
    drawn = [dice.between(2, 4) for _ in range(20_000)]
    assert min(drawn) >= 2
    assert max(drawn) < 4
    assert abs(sum(drawn) / len(drawn) - 3) < 0.02


def test_a_draw_across_the_end_of_a_block_has_its_size() -> None:
    dice = Dice("7")
    assert {len(dice(40_000)) for _ in range(5)} == {40_000}


def test_some_of_the_items_are_different_ones_and_all_at_most() -> None:
    dice = Dice("7")
    assert sorted(dice.some(range(10), 99)) == list(range(10))
    some = dice.some(range(100), 10)
    assert len(set(some)) == 10
    assert some != sorted(some)


def test_a_fixed_number_depends_on_its_numbers_alone() -> None:
    assert fixed("1", 2, 3) == fixed("1", 2, 3)
    assert len({fixed("1", 2, 3), fixed("1", 3, 2), fixed("2", 2, 3)}) == 3
