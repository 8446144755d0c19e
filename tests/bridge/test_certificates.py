"""The certificate for a dialect's port: made once, for this machine, and made again before it ends."""

from __future__ import annotations

import builtins
import ssl
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from node.bridge import certificates
from node.errors import Refused
from node.store import files


def test_it_is_made_once_as_a_private_file_for_the_names_of_this_machine(tmp_path: Path) -> None:
    keep = partial(files.kept, tmp_path)
    context, mark = certificates.load(keep, ("127.0.0.1", "chat.example", "192.0.2.7", "größe.example"))
    assert isinstance(context, ssl.SSLContext)
    assert certificates.load(keep, ())[1] == mark
    path = tmp_path / certificates.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = x509.load_pem_x509_certificate(path.read_bytes())
    assert made.fingerprint(made.signature_hash_algorithm).hex(":").upper() == mark  # type: ignore[arg-type]
    names = made.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "chat.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [
        "127.0.0.1",
        "::1",
        "192.0.2.7",
    ]
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == certificates.DAYS


def test_one_that_ends_soon_or_is_damaged_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = partial(files.kept, tmp_path)
    first = certificates.load(keep, ())[1]
    with monkeypatch.context() as soon:
        soon.setattr(certificates, "RENEW_DAYS", certificates.DAYS)
        second = certificates.load(keep, ())[1]
    assert second != first
    path = tmp_path / certificates.FILE
    whole = path.read_bytes()
    for damaged in (b"-----BEGIN CERTIFICATE-----\nnonsense", b"", whole.replace(b"MII", b"", 1), whole[:-9]):
        path.write_bytes(damaged)
        assert certificates.load(keep, ())[1] not in {first, second}


def test_without_the_package_one_that_is_there_goes_on_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, real = partial(files.kept, tmp_path), builtins.__import__
    mark = certificates.load(keep, ())[1]

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert certificates.load(keep, ())[1] == mark
    path = tmp_path / certificates.FILE
    path.write_bytes(path.read_bytes()[:-9] + b"\n-----END CERTIFICATE-----\n")
    with pytest.raises(Refused) as refused:
        certificates.load(keep, ())
    assert refused.value.code == "tls_damaged"
    path.unlink()
    with pytest.raises(Refused) as refused:
        certificates.load(keep, ())
    assert refused.value.code == "tls_missing" and str(refused.value).endswith(
        f"{sys.executable} -m pip install cryptography"
    )


def test_the_key_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    context, _ = certificates.load(partial(files.kept, tmp_path), ())
    key = (tmp_path / certificates.FILE).read_text().splitlines()[1]
    assert key not in repr(context)
