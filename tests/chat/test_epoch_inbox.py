"""Where reading begins: at the epoch we came with, and at no later one that names a parent we lack."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from node.chat.epoch_inbox import begins

CAME, LATER = (
    SimpleNamespace(row=SimpleNamespace(first=True)),
    SimpleNamespace(row=SimpleNamespace(first=False)),
)


@pytest.mark.parametrize(
    ("held", "parents", "expected"),
    [
        ({b"a": CAME}, (b"a",), False),
        ({b"a": CAME}, (b"a", b"x"), True),
        ({b"a": CAME, b"b": CAME}, (b"x", b"b"), True),
        ({b"a": CAME, b"b": CAME}, (b"a", b"b"), False),
        ({b"a": CAME, b"b": LATER}, (b"a", b"x"), False),
        ({b"a": CAME, b"b": LATER}, (b"b", b"x"), False),
    ],
)
def test_only_a_newcomer_waits_for_nothing_of_an_epoch_on_a_parent_that_is_not_here(
    held: Any, parents: tuple[bytes, ...], expected: bool
) -> None:
    announce: Any = SimpleNamespace(parents=parents)
    assert begins(held, announce) is expected
