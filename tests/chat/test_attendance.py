"""How the owner is seen, by the clock: frontends that come, ask and go."""

from __future__ import annotations

from node.chat.attendance import AWAY_AFTER, LEFT_AFTER, SETTLES_AFTER, Attendance
from node.chat.presence import State


def begun(chosen: str = "") -> Attendance:
    attendance = Attendance()
    attendance.begin(0, chosen)  # type: ignore[arg-type]
    return attendance


def at(attendance: Attendance, now: float) -> State:
    attendance.look(now)
    return attendance.shown


def test_with_no_frontend_a_minute_after_the_start_is_offline() -> None:
    attendance = begun()
    assert attendance.shown is State.ONLINE and attendance.deadline == LEFT_AFTER
    assert not attendance.look(LEFT_AFTER - 0.1) and attendance.look(LEFT_AFTER)
    assert attendance.shown is State.OFFLINE and attendance.deadline is None


def test_half_an_hour_without_a_command_is_away_and_the_next_ends_it() -> None:
    attendance = begun()
    attendance.came(1, 10)
    assert attendance.deadline == 10 + SETTLES_AFTER and not attendance.look(10 + SETTLES_AFTER)
    assert not attendance.acted(1, 20)
    assert attendance.deadline == 20 + AWAY_AFTER
    assert at(attendance, 20 + AWAY_AFTER) is State.AWAY and attendance.deadline is None
    assert attendance.acted(1, 5_000)
    assert at(attendance, 5_000) is State.ONLINE


def test_the_last_of_several_that_leaves_starts_the_minute_and_strangers_do_not_count() -> None:
    attendance = begun()
    attendance.came(1, 10)
    attendance.came(2, 10)
    attendance.went(1, 100)
    attendance.went(7, 900)
    assert not attendance.acted(7, 100)
    assert at(attendance, 1_000) is State.ONLINE
    attendance.went(2, 1_000)
    assert at(attendance, 1_000 + LEFT_AFTER - 1) is State.ONLINE
    assert at(attendance, 1_000 + LEFT_AFTER) is State.OFFLINE


def test_what_the_owner_said_counts_before_what_is_and_away_is_offline_when_nobody_is_there() -> None:
    hidden = begun("offline")
    hidden.came(1, 1)
    assert at(hidden, 2) is State.OFFLINE and hidden.hidden and hidden.deadline is None
    away = begun("away")
    away.came(1, 1)
    assert at(away, 2) is State.AWAY and away.deadline is None
    away.went(1, 3)
    assert away.deadline == 3 + LEFT_AFTER
    assert at(away, 3 + LEFT_AFTER) is State.OFFLINE


def test_whoever_is_away_and_whose_frontend_leaves_is_offline_a_minute_later() -> None:
    attendance = begun()
    attendance.came(1, 0, settled=True)
    assert at(attendance, AWAY_AFTER) is State.AWAY
    attendance.went(1, AWAY_AFTER + 5)
    assert at(attendance, AWAY_AFTER + 6) is State.AWAY and attendance.deadline == AWAY_AFTER + 5 + LEFT_AFTER


def test_a_session_counts_after_a_moment_or_with_its_first_command_and_a_call_never() -> None:
    attendance = begun()
    assert at(attendance, LEFT_AFTER) is State.OFFLINE
    attendance.came(1, 100)
    assert not attendance.look(100) and attendance.deadline == 100 + SETTLES_AFTER
    attendance.mistaken(1)
    assert at(attendance, 102) is State.OFFLINE and attendance.deadline is None
    attendance.came(2, 200)
    attendance.came(2, 200.5)  # its hello
    assert at(attendance, 200 + SETTLES_AFTER) is State.ONLINE
    attendance.went(2, 210)
    assert at(attendance, 210 + LEFT_AFTER) is State.OFFLINE
    attendance.came(3, 300)
    assert attendance.acted(3, 300.1) and at(attendance, 300.1) is State.ONLINE
    assert attendance.deadline == 300.1 + AWAY_AFTER


def test_who_logs_out_is_offline_until_a_frontend_comes_or_asks() -> None:
    attendance = begun()
    attendance.came(1, 1)
    attendance.leave(10)
    assert at(attendance, 10) is State.OFFLINE and at(attendance, 500) is State.OFFLINE
    attendance.came(2, 600)
    assert attendance.deadline == 600 + SETTLES_AFTER
    assert at(attendance, 600) is State.OFFLINE and at(attendance, 600 + SETTLES_AFTER) is State.ONLINE
    attendance.leave(700)
    attendance.mistaken(3)
    attendance.went(2, 701)
    assert at(attendance, 702) is State.OFFLINE
    assert attendance.acted(1, 703) and at(attendance, 703) is State.ONLINE
    attendance.leave(800)
    attendance.stay()
    assert at(attendance, 800) is State.ONLINE


def test_one_that_came_just_before_a_logout_does_not_undo_it() -> None:
    attendance = begun()
    attendance.came(1, 9.5)
    attendance.leave(10)
    assert at(attendance, 20) is State.OFFLINE


def test_who_asks_without_being_attached_is_there_for_a_minute_and_keeps_nobody_away() -> None:
    attendance = begun()
    assert at(attendance, 500) is State.OFFLINE
    assert attendance.asked(500) and at(attendance, 500) is State.ONLINE
    assert at(attendance, 500 + LEFT_AFTER) is State.OFFLINE
    attendance.came(1, 1_000)
    assert at(attendance, 1_001 + AWAY_AFTER) is State.AWAY
    assert attendance.asked(5_000) and at(attendance, 5_000) is State.ONLINE
    attendance.leave(5_001)
    assert at(attendance, 5_001) is State.OFFLINE
    assert attendance.asked(5_002) and at(attendance, 5_002) is State.ONLINE
