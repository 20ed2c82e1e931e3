"""A peer that begins as a broker does, and falls silent: it neither answers nor closes any more."""

import asyncio
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Self, cast

from pamqp import commands, frame

HANDSHAKE = (
    commands.Connection.Start(server_properties={}),
    commands.Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=60),
    commands.Connection.OpenOk(),
)
"""A broker's answers, in order."""


class HalfBroker:
    """Gives so many answers of the handshake to each who connects; `silent` is set after the last one."""

    def __init__(self, answers: int, *, secure: bool = False, name: str = "localhost") -> None:
        """`name` is whom the certificate of a `secure` one names; `certificate` is that, once it has started."""
        self.certificate = ""
        self._name = name
        self.silent = asyncio.Event()
        self._answers = HANDSHAKE[:answers]
        self._secure = secure
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self._context) if self._secure else None
        self._server = await asyncio.start_server(self._linked, "127.0.0.1", 0, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        place = f"127.0.0.1:{self.port}"
        return f"amqps://guest:guest@{place}/?no_verify_ssl=1" if self._secure else f"amqp://{place}/"

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        for number, answer in enumerate(self._answers):
            writer.write(frame.marshal(answer, 0))
            if number < len(HANDSHAKE) - 1:
                await reader.read(65_536)
        transport = cast(asyncio.Transport, writer.transport)  # uvloop's is one in all but its ancestry
        transport.pause_reading()
        self.silent.set()
        await self._over.wait()
        transport.abort()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        whom = ["-subj", f"/CN={self._name}", "-addext", f"subjectAltName=DNS:{self._name}"]
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
            command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *whom]
            subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
            context.load_cert_chain(certificate, key)
            self.certificate = certificate.read_text(encoding="ascii")
        return context
