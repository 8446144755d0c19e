"""For every test: our loggers are at DEBUG, and what they were given has no secret in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.canaries import Canaries, watch

CANARIES = Canaries()
watch(CANARIES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test in which something secret was logged."""
    CANARIES.begin()
    yield
    found = CANARIES.found()
    assert not found, f"{item.name} logged {found}"
