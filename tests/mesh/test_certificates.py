"""wss:// between two shells of the mesh: whom they trust, and what is told where they do not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.errors import Refused
from node.mesh.certificates import Certificates
from node.mesh.ports import (
    OTHER_NETWORK,
    CloseLink,
    Dial,
    DialFailed,
    LinkBytes,
    LinkClosed,
    LinkOpened,
    MeshInput,
    SendBytes,
)
from node.mesh.transport import Transport
from tests.certificates import Authority
from tests.mesh.test_intake import BINARY, KNOCK, frame
from tests.mesh.test_transport import until

pytestmark = pytest.mark.slow


def of(facts: list[MeshInput], kind: type) -> list:  # type: ignore[type-arg] # of any input
    return [fact for fact in facts if isinstance(fact, kind)]


@asynccontextmanager
async def listening(
    context: ssl.SSLContext | None, *, backlog: Callable[[], int] | None = None
) -> AsyncIterator[tuple[Transport, list[MeshInput], int]]:
    facts: list[MeshInput] = []
    transport = Transport(facts.append, listen=("127.0.0.1", 0), ssl=context, backlog=backlog)
    bound = await transport.start()
    assert bound is not None
    try:
        yield transport, facts, bound[1]
    finally:
        await transport.stop()


async def dialled(address: str, trust: ssl.SSLContext | None) -> MeshInput:
    """Dial once; return what came of it."""
    facts: list[MeshInput] = []
    transport = Transport(facts.append, listen=None, trust=trust)
    transport.perform(Dial(address))
    await until(lambda: facts)
    await transport.stop()
    return facts[0]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path, "ours")
    authority.certify(tmp_path / "cert", tmp_path / "key")
    return authority


async def test_what_a_peer_sent_before_it_closed_comes_though_it_was_not_to_be_read_yet(
    tmp_path: Path, authority: Authority
) -> None:
    """TLS tells of the end together with what stands before it."""
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening, backlog=lambda: 0) as (transport, heard, port):
        to = await asyncio.open_connection("127.0.0.1", port, ssl=ours.dialling)
        to[1].write(KNOCK)
        assert await to[0].readuntil(b"\r\n\r\n")
        sent = [bytes(16), bytes(16), *(number.to_bytes(4, "big") * 1_000 for number in range(40))]
        to[1].writelines(frame(BINARY, message) for message in sent[:2])
        await until(lambda: len(of(heard, LinkBytes)) == 2)  # longer ones may come now
        to[1].writelines(frame(BINARY, message) for message in sent[2:])
        to[1].close()
        took = 0
        while not of(heard, LinkClosed):
            await asyncio.sleep(0.02)
            came = of(heard, LinkBytes)
            transport.took(came[took : took + 1])
            took += took < len(came)
        assert [fact.data for fact in of(heard, LinkBytes)] == sent


async def test_a_link_over_tls_carries_bytes_both_ways(tmp_path: Path, authority: Authority) -> None:
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening) as (transport, heard, port):
        facts: list[MeshInput] = []
        other = Transport(facts.append, listen=None, trust=ours.dialling)
        other.perform(Dial(f"wss://127.0.0.1:{port}"))
        await until(lambda: of(facts, LinkOpened) and of(heard, LinkOpened))
        other.perform(SendBytes(of(facts, LinkOpened)[0].link, b"there"))
        transport.perform(SendBytes(of(heard, LinkOpened)[0].link, b"and back"))
        await until(lambda: of(facts, LinkBytes) and of(heard, LinkBytes))
        assert (of(heard, LinkBytes)[0].data, of(facts, LinkBytes)[0].data) == (b"there", b"and back")
        await other.stop()


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_told(
    tmp_path: Path, authority: Authority
) -> None:
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key")
    async with listening(ours.listening) as (_, heard, port):
        address = f"wss://127.0.0.1:{port}"
        for trust in (None, Certificates(authority=Authority(tmp_path, "others").path).dialling):
            failed = await dialled(address, trust)
            assert isinstance(failed, DialFailed) and "its certificate is not trusted" in failed.reason
        assert of(heard, LinkOpened) == []


async def test_a_certificate_of_another_host_is_refused_and_told(
    tmp_path: Path, authority: Authority
) -> None:
    authority.certify(tmp_path / "cert", tmp_path / "key", host="192.0.2.1")
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening) as (_, _heard, port):
        failed = await dialled(f"wss://127.0.0.1:{port}", ours.dialling)
        assert isinstance(failed, DialFailed) and "another host" in failed.reason


async def test_dialling_by_the_wrong_scheme_fails_with_a_reason(tmp_path: Path, authority: Authority) -> None:
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening) as (_, _heard, port):
        plain = await dialled(f"ws://127.0.0.1:{port}", ours.dialling)
        assert isinstance(plain, DialFailed) and plain.reason
    async with listening(None) as (_, _heard, port):
        sealed = await dialled(f"wss://127.0.0.1:{port}", ours.dialling)
        assert isinstance(sealed, DialFailed) and sealed.reason == "cut off by the other side"


async def test_a_certificate_that_was_renewed_is_served_from_then_on(
    tmp_path: Path, authority: Authority
) -> None:
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening) as (_, _heard, port):
        address = f"wss://127.0.0.1:{port}"
        renewed = Authority(tmp_path, "renewed")
        renewed.certify(tmp_path / "cert", tmp_path / "key")
        trusts = Certificates(authority=renewed.path).dialling
        assert isinstance(await dialled(address, trusts), DialFailed)
        assert ours.reload()
        assert isinstance(await dialled(address, trusts), LinkOpened)


async def test_one_that_is_of_no_use_is_refused_and_the_old_one_goes_on(
    tmp_path: Path, authority: Authority
) -> None:
    ours = Certificates(cert=tmp_path / "cert", key=tmp_path / "key", authority=authority.path)
    async with listening(ours.listening) as (_, _heard, port):
        Authority(tmp_path, "other").certify(tmp_path / "cert", tmp_path / "another key")  # half of a pair
        with pytest.raises(Refused, match="no certificate with its key"):
            ours.reload()
        assert isinstance(await dialled(f"wss://127.0.0.1:{port}", ours.dialling), LinkOpened)


def test_files_that_are_none_are_named(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "junk").write_text("junk")
    for said, files in (
        ("cannot be read", {"cert": tmp_path / "nowhere"}),
        ("no certificate with its key", {"cert": tmp_path / "junk"}),
        ("no certificate with its key", {"cert": tmp_path / "cert"}),
        ("cannot be read", {"authority": tmp_path / "nowhere"}),
        ("no certificate in PEM", {"authority": tmp_path / "junk"}),
    ):
        with pytest.raises(Refused, match=said) as fault:
            Certificates(**files)
        assert fault.value.code == "invalid_config"


def test_a_key_under_a_passphrase_is_refused_without_asking(tmp_path: Path, authority: Authority) -> None:
    authority.certify(tmp_path / "cert", tmp_path / "key", sealed=b"horse")
    with pytest.raises(Refused, match="passphrase"):
        Certificates(cert=tmp_path / "cert", key=tmp_path / "key")


async def test_the_other_side_learns_that_it_is_of_another_network_and_no_words_of_ours() -> None:
    async with listening(None) as (transport, heard, port):
        facts: list[MeshInput] = []
        other = Transport(facts.append, listen=None)
        other.perform(Dial(f"ws://127.0.0.1:{port}"))
        await until(lambda: of(heard, LinkOpened))
        transport.perform(CloseLink(of(heard, LinkOpened)[0].link, OTHER_NETWORK))
        await until(lambda: of(facts, LinkClosed))
        assert of(facts, LinkClosed)[0].reason == OTHER_NETWORK
        other.perform(Dial(f"ws://127.0.0.1:{port}"))
        await until(lambda: len(of(heard, LinkOpened)) == 2)
        transport.perform(CloseLink(of(heard, LinkOpened)[1].link, "a secret of ours"))
        await until(lambda: len(of(facts, LinkClosed)) == 2)
        assert of(facts, LinkClosed)[1].reason == "closed by the peer"
        await other.stop()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ws://127.0.0.1:1", "refused: nothing listens there"),
        ("ws://no-such-host.invalid:1", "no such host is known"),
    ],
)
async def test_what_cannot_be_dialled_is_told_in_plain_words(address: str, said: str) -> None:
    failed = await dialled(address, None)
    assert isinstance(failed, DialFailed) and failed.reason == said


async def test_who_is_dialled_cannot_send_us_elsewhere() -> None:
    async with listening(None) as (_, heard, port):

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % port
            )
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        failed = await dialled(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        assert failed == DialFailed(failed.address, "no node there: HTTP status 302")  # type: ignore[union-attr]
        assert heard == []
        server.close()
        await server.wait_closed()


async def test_what_is_no_node_is_told_without_its_words() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 418 \x1b[31mteapot\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    failed = await dialled(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    assert isinstance(failed, DialFailed) and failed.reason.startswith("no node there")
    assert "teapot" not in failed.reason and "\x1b" not in failed.reason
    server.close()
    await server.wait_closed()
