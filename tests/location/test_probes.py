"""Asking others: what listens, what shows which certificate, what answers a C-ECHO, and what does none of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from capacitord.location.evidence import Polled, Unseen
from capacitord.location.probes import Probed, Probes, cannot_echo, echoed, endpoint
from capacitord.model.location import Kind, Says, Wanted
from capacitord.model.outcome import Outcome, Verdict
from tests.location.watching import background, resolve
from tests.wait import wait_for


class Identity(NamedTuple):
    """A key and a certificate in one file, and the certificate's digest."""

    file: Path
    digest: str


def identity(folder: Path, name: str) -> Identity:
    """Make a certificate that nobody signed, and that was over long ago: neither matters where one is pinned."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, pkcs8, plain) + certificate.public_bytes(pem))
    return Identity(file, hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest())


@contextlib.contextmanager
def listening(
    shown: Identity | None, *, silent: bool = False, names: Mapping[str, Identity] = MappingProxyType({})
) -> Iterator[int]:
    """Give a port at which something listens, over TLS if it has something to show; or that says nothing at all.

    To whoever asks for one of `names` it shows the certificate of that one.
    """
    context = None
    if shown:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.file)
        others = {}
        for name, each in names.items():
            others[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            others[name].load_cert_chain(each.file)

        def asked(inside: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
            inside.context = others.get(name or "", inside.context)

        context.sni_callback = asked
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.02)

        def serve() -> None:
            kept = []
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    peer, _ = listener.accept()
                    kept.append(peer)
                    if silent:
                        continue
                    if context:
                        with context.wrap_socket(peer, server_side=True) as inside:
                            inside.recv(1)
                    else:
                        peer.sendall(b"220 ready\r\n")
                        peer.close()
            for peer in kept:
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def wanted(port: int, digest: str = "") -> Wanted:
    return Wanted(Kind.ENDPOINT, f"127.0.0.1:{port}", "127.0.0.1", port, certificate_sha256=digest)


def test_certificates(tmp_path: Path) -> None:
    ours, other = identity(tmp_path, "ours"), identity(tmp_path, "other")
    with listening(ours) as port:
        found, words = asyncio.run(endpoint(resolve, wanted(port, ours.digest)))
        assert found.says is Says.FOR
        assert words == f"it shows the certificate {ours.digest[:16]}…"
        found, words = asyncio.run(endpoint(resolve, wanted(port, other.digest)))
        assert found.says is Says.AGAINST
        assert words == f"it shows another certificate: {ours.digest[:16]}…, and not {other.digest[:16]}…"
        assert asyncio.run(endpoint(resolve, wanted(port))) == (Probed(Says.FOR), "it listens")


def test_a_server_of_many_names_hears_which_one_is_meant(tmp_path: Path) -> None:
    """Else it shows the certificate of its first name, which is another one than the pinned."""
    first, meant = identity(tmp_path, "first"), identity(tmp_path, "meant")

    async def there(_host: str, port: int) -> Sequence[tuple[Any, ...]]:
        return await resolve("127.0.0.1", port)

    with listening(first, names={"pacs.stm.example": meant}) as port:
        named = Wanted(Kind.ENDPOINT, "", "pacs.stm.example", port, certificate_sha256=meant.digest)
        assert asyncio.run(endpoint(there, named))[0].says is Says.FOR
        assert asyncio.run(endpoint(resolve, wanted(port, first.digest)))[0].says is Says.FOR


def test_a_probe_that_fails_in_an_unforeseen_way_goes_on() -> None:
    async def look() -> tuple[str, str]:
        raise ZeroDivisionError

    plug: Polled[str] = Polled(look, every=1.0, within=1.0)
    asyncio.run(plug.poll())
    assert (plug.latest.value, plug.latest.problem) == (None, "looking at it fails (ZeroDivisionError)")


def test_what_speaks_no_tls_shows_no_certificate() -> None:
    with listening(None) as port:
        with pytest.raises(Unseen, match="it shows no certificate"):
            asyncio.run(endpoint(resolve, wanted(port, "9f" * 32)))
        assert asyncio.run(endpoint(resolve, wanted(port)))[0].says is Says.FOR


def test_what_does_not_answer_is_no_evidence_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    probes = Probes(resolve, every=0.05, within=0.2)
    refused, silent = wanted(port), wanted(port)

    async def watch() -> None:
        nonlocal silent
        with listening(None, silent=True) as quiet:
            silent = wanted(quiet, "9f" * 32)
            probes.take([refused, silent])
            try:
                await asyncio.sleep(60)
            finally:
                await probes.stop()

    with background(watch):
        wait_for(lambda: probes.latest(refused).problem == "Connection refused", what="a refusal")
        wait_for(lambda: probes.latest(silent).problem == "no answer within 0.2 s", what="a silence")
    assert probes.latest(refused).problem == "nobody asks it"


@pytest.mark.parametrize("error", [UnicodeError("label too long"), socket.gaierror(-2, "Name or service not known")])
def test_a_name_that_leads_nowhere(error: Exception) -> None:
    async def fail(_host: str, _port: int) -> Sequence[tuple[Any, ...]]:
        raise error

    with pytest.raises(OSError, match=r"there is no host pacs|Name or service not known"):
        asyncio.run(endpoint(fail, Wanted(Kind.ENDPOINT, "pacs:443", "pacs", 443)))


def test_each_address_of_a_name_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def two(_host: str, port: int) -> Sequence[tuple[Any, ...]]:
            return [*await resolve("::1", port), *await resolve("127.0.0.1", port)]

        found, _ = asyncio.run(endpoint(two, Wanted(Kind.ENDPOINT, "pacs:1", "pacs", port)))
        assert found.says is Says.FOR


NODE = Wanted(Kind.ECHO, "PACS at 127.0.0.1:104", "127.0.0.1", 104, "PACS")


def test_an_echo() -> None:
    async def answered(_: Wanted) -> Outcome:
        return Outcome(Verdict.DONE, "")

    async def refused(_: Wanted) -> Outcome:
        return Outcome(Verdict.NEEDS_PERSON, "it does not know this box's AE title")

    assert asyncio.run(echoed(answered, NODE)) == (Probed(Says.FOR), "it answers a C-ECHO")
    with pytest.raises(Unseen, match="it does not know this box's AE title"):
        asyncio.run(echoed(refused, NODE))
    with pytest.raises(Unseen, match="nothing on this box sends a C-ECHO"):
        asyncio.run(echoed(cannot_echo, NODE))


def test_what_nobody_wants_any_more_is_not_asked_any_more() -> None:
    asked: list[str] = []
    often = asyncio.Event()

    async def echo(node: Wanted) -> Outcome:
        asked.append(node.value)
        if len(asked) == 3:
            often.set()
        return Outcome(Verdict.DONE, "")

    async def run() -> None:
        probes = Probes(resolve, echo, every=0.01)
        probes.take([NODE])
        await asyncio.wait_for(often.wait(), 10)
        assert probes.latest(NODE).value == Probed(Says.FOR)
        probes.take([])
        number = len(asked)
        await asyncio.sleep(0.05)
        assert len(asked) <= number + 1
        await probes.stop()

    asyncio.run(run())


def test_what_is_polled_says_what_was_last_and_when() -> None:
    now = 100.0
    answers: Iterator[tuple[str, str] | Exception] = iter(
        [("one", "first"), Unseen("it is gone", "look"), OSError(111, "refused"), ("two", "second")]
    )

    async def look() -> tuple[str, str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    plug: Polled[str] = Polled(look, every=5.0, within=1.0, clock=lambda: now)
    assert plug.latest.problem == "not looked at yet"

    async def poll() -> None:
        await plug.poll()

    asyncio.run(poll())
    assert (plug.latest.value, plug.latest.words, plug.latest.at, plug.latest.age(103.0)) == (
        "one",
        "first",
        100.0,
        3.0,
    )
    now = 105.0
    asyncio.run(poll())
    assert (plug.latest.value, plug.latest.words, plug.latest.at) == (None, "first", 100.0)
    assert (plug.latest.problem, plug.latest.hint) == ("it is gone", "look")
    asyncio.run(poll())
    assert plug.latest.problem == "Connection refused"
    asyncio.run(poll())
    assert (plug.latest.value, plug.latest.problem) == ("two", "")
    now = 200.0
    assert (plug.latest.value, plug.latest.problem) == (None, "not looked at for 95 s")


def test_what_hangs_holds_up_nobody() -> None:
    async def hang() -> tuple[str, str]:
        await asyncio.sleep(60)
        return "", ""

    plug: Polled[str] = Polled(hang, every=5.0, within=0.05)
    asyncio.run(plug.poll())
    assert plug.latest.problem == "no answer within 0.05 s"
