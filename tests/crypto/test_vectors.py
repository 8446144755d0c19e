"""Published vector collections, through our own functions.

The files are named by $GOSSAMER_VECTORS: Wycheproof (C2SP) for X25519 and Ed25519, the ten cases of
"Taming the many EdDSAs", and one secretbox that opens under two keys.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from node.crypto.labels import Label
from node.crypto.primitives import box_open, dh, kdf, verify_raw
from node.errors import CryptoFault, PeerFault

FOLDER = os.environ.get("GOSSAMER_VECTORS")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="GOSSAMER_VECTORS names no folder of vectors")

h = bytes.fromhex


def load(name: str) -> Any:
    assert FOLDER is not None
    return json.loads((Path(FOLDER) / name).read_text())


def test_x25519_agrees_with_every_wycheproof_case() -> None:
    count = 0
    for group in load("wycheproof-x25519.json")["testGroups"]:
        for case in group["tests"]:
            count += 1
            secret, public, shared = h(case["private"]), h(case["public"]), h(case["shared"])
            if case["result"] == "invalid" or not any(shared):
                with pytest.raises(PeerFault):
                    dh(secret, public)
            else:
                assert dh(secret, public) == shared, case["tcId"]
    assert count == 518


def test_ed25519_agrees_with_every_wycheproof_case() -> None:
    count = 0
    for group in load("wycheproof-ed25519.json")["testGroups"]:
        public = h(group["publicKey"]["pk"])
        for case in group["tests"]:
            count += 1
            verdict = _verifies(public, h(case["msg"]), h(case["sig"]))
            assert verdict == (case["result"] == "valid"), case["tcId"]
    assert count == 151


def test_the_verifier_is_libsodiums_in_every_case_where_verifiers_disagree() -> None:
    data = load("ed25519-speccheck.json")
    verdicts = "".join(
        "V" if _verifies(h(case["pub_key"]), h(case["message"]), h(case["signature"])) else "x"
        for case in data["cases"]
    )
    assert verdicts == data["expected_libsodium"]


def test_a_box_that_opens_under_two_keys_is_told_apart_by_the_commitment() -> None:
    data = {name: h(value) for name, value in load("secretbox-two-keys.json").items()}
    assert box_open(data["box"], data["nonce"], data["key1"]) == data["plain1"]
    assert box_open(data["box"], data["nonce"], data["key2"]) == data["plain2"]
    for label in (Label.KC, Label.RKC, Label.WRAPKC):
        assert kdf(label, data["key1"], b"", 32) != kdf(label, data["key2"], b"", 32)


def _verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify_raw(public, message, signature)
    except CryptoFault:
        return False
    return True
