"""One label, one use."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest

import node
from node.crypto import labels
from node.crypto.labels import REGISTRY, Label
from node.crypto.primitives import digest, ed25519_keypair, kdf, sign, verify
from node.errors import CryptoFault


def test_all_labels_are_16_bytes_and_differ() -> None:
    assert all(len(label) == 16 and label.startswith(b"gsmr1/") for label in REGISTRY.values())
    assert len(set(REGISTRY.values())) == len(REGISTRY)
    assert len(labels._NAMES.split()) == len(REGISTRY)


def test_the_attributes_are_the_registry() -> None:
    attributes = {name.lower(): value for name, value in vars(Label).items() if name.isupper()}
    assert attributes == REGISTRY


def test_no_module_spells_a_label_itself() -> None:
    sources = Path(node.__file__).parent.rglob("*.py")
    guilty = [path.name for path in sources if re.search(r"b[\"']gsmr1", path.read_text())]
    assert guilty == ["labels.py"]


@pytest.mark.attack("A05")
def test_hashes_and_keys_under_two_labels_never_agree() -> None:
    assert len({digest(label, b"x") for label in REGISTRY.values()}) == len(REGISTRY)
    assert len({kdf(label, bytes(32), b"x", 32) for label in REGISTRY.values()}) == len(REGISTRY)


@pytest.mark.attack("A26")
def test_a_signature_under_one_label_is_refused_under_every_other() -> None:
    public, secret = ed25519_keypair(bytes(32))
    made = {label: sign(label, secret, b"the same words") for label in REGISTRY.values()}
    for ours, other in permutations(REGISTRY.values(), 2):
        with pytest.raises(CryptoFault):
            verify(other, public, b"the same words", made[ours])
