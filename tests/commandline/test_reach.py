from __future__ import annotations

import pytest

from node.commandline.reach import ANYWHERE, MACHINE, NETWORK, describe, reach


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("ws://127.0.0.1:7118", MACHINE),
        ("ws://[::1]:7118", MACHINE),
        ("ws://localhost:1", MACHINE),
        ("ws://192.168.1.4:7118", NETWORK),
        ("ws://[fe80::1%25eth0]:7118", NETWORK),
        ("ws://box.local:7118", NETWORK),
        ("ws://box:7118", NETWORK),
        ("ws://9.9.9.9:7118", ANYWHERE),
        ("wss://relay.example.org", ANYWHERE),
        ("ws://[2620:fe::fe]:7118", ANYWHERE),
    ],
)
def test_an_address_says_who_can_use_it(address: str, who: str) -> None:
    assert reach(address) == who


def test_with_private_addresses_only_the_one_thing_to_do_is_said() -> None:
    assert any("--relay" in line for line in describe(["ws://192.168.1.4:7118"]))
    assert any("--relay" in line for line in describe([]))
    assert not any("--relay" in line for line in describe(["ws://192.168.1.4:7118", "ws://9.9.9.9:7118"]))
