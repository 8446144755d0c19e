from __future__ import annotations

from node.mesh.holding import ASK_AFTER, ASK_EVERY, MAX_ASKED, Holding


def test_a_burst_costs_one_question_in_three_seconds() -> None:
    holding, asked, now = Holding(), 0, 0.0
    for n in range(1_000):
        holding.pushed(1, n.to_bytes(16, "big"), now=now)
        now += 0.01
        if holding.due(now=now):
            holding.asked(1, now=now)
            asked += 1
        elif n % 7 == 0:
            holding.answered(1, now=now)
    assert 3 <= asked <= 4


def test_what_was_pushed_before_the_question_is_there_when_it_is_answered() -> None:
    holding = Holding()
    holding.pushed(1, b"a", now=0.0)
    assert holding.deadline == ASK_AFTER
    assert holding.due(now=ASK_AFTER) == [1]
    holding.asked(1, now=ASK_AFTER)
    holding.pushed(1, b"b", now=ASK_AFTER)
    assert holding.answered(1, now=0.2) == [b"a"]
    assert holding.answered(1, now=0.2) == []
    assert holding.deadline == ASK_AFTER + ASK_EVERY
    holding.asked(1, now=3.1)
    assert holding.answered(1, now=3.2) == [b"b"]
    assert holding.deadline is None


def test_of_a_link_that_is_gone_nothing_is_known() -> None:
    holding = Holding()
    holding.pushed(1, b"a", now=0.0)
    holding.asked(1, now=0.1)
    holding.closed(1)
    assert holding.answered(1, now=0.2) == []
    assert holding.deadline is None


def test_what_one_question_is_about_is_bounded() -> None:
    holding = Holding()
    for n in range(MAX_ASKED + 10):
        holding.pushed(1, n.to_bytes(16, "big"), now=0.0)
    holding.asked(1, now=0.1)
    assert len(holding.answered(1, now=0.2)) == MAX_ASKED


def test_a_question_under_way_is_not_about_what_was_pushed_since() -> None:
    holding = Holding()
    holding.pushed(1, b"a", now=0.0)
    holding.asked(1, now=0.1)
    holding.pushed(1, b"b", now=0.2)
    holding.asked(1, now=0.3)
    assert holding.answered(1, now=0.4) == [b"a"]
    assert holding.deadline == 0.1 + ASK_EVERY


def test_what_others_wrote_is_asked_about_at_the_same_times() -> None:
    ours, others = Holding(), Holding()
    for step in range(200):
        now = step / 20
        if step % 7 == 0:
            ours.pushed(1, step.to_bytes(16, "big"), now=now)
            others.passed(1, now=now)
        assert ours.deadline == others.deadline and ours.due(now=now) == others.due(now=now)
        for holding in (ours, others):
            if holding.due(now=now):
                holding.asked(1, now=now)
            if step % 11 == 0:
                holding.answered(1, now=now)
