"""A page of the store goes to whom it was read for, once."""

from __future__ import annotations

from node.mesh.ports import ByIds
from node.mesh.tickets import Tickets


def test_each_answer_finds_its_session_once() -> None:
    tickets = Tickets()
    orders = [tickets.order(link, link + 10, ByIds(())) for link in (1, 2)]
    assert [tickets.take(order.ticket) for order in reversed(orders)] == [(2, 12), (1, 11)]
    assert tickets.take(orders[0].ticket) == tickets.take(99) == (-1, 0)
