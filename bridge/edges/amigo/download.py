"""Downloads of what the API gives an address of: streamed into a file, never with the credentials of the API.

The address is signed by whoever serves it, so it is asked for exactly as it is written, redirects included.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from yarl import URL

from bridge.core.errors import ApiError, Lost, NotSent, Refused, Unsendable

OPERATION = "download"
SCHEMES = frozenset({"http", "https"})
CHUNK_BYTES = 65_536
CONNECT_S = 10.0
IDLE_S = 60.0
MAX_REDIRECTS = 5
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "amigo-bridge"}
FOREIGN = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, TimeoutError, ValueError, OSError)


async def download(address: str, target: Path, progress: Callable[[int], None]) -> int:
    """The size in bytes of the file that is written; `target` is replaced once all of it is there, or not at all.

    `progress` is told the bytes so far. Raises Unsendable where the address, or a redirect, is not http(s); Refused,
    NotSent or Lost as a call does, and OSError of the file.
    """
    url = _url(address)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
    async with (
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            timeout=timeout,
            auto_decompress=False,
            trust_env=False,
        ) as session,
        await _opened(session, url) as response,
    ):
        return await _kept(response, target, progress)


async def _opened(session: aiohttp.ClientSession, url: URL) -> aiohttp.ClientResponse:
    """The 2xx answer at the end of the redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = await session.get(url, allow_redirects=False)
        except FOREIGN as error:
            raise _translated(error) from None
        if 200 <= response.status < 300:
            return response
        location = response.headers.get("Location")
        response.close()
        if response.status not in (301, 302, 303, 307, 308) or location is None:
            raise Refused(OPERATION, response.status, "")
        url = _url(location, url)
    raise Lost(f"{OPERATION}: more than {MAX_REDIRECTS} redirects")


def _url(address: str, base: URL | None = None) -> URL:
    """The address, not a character of it changed."""
    try:
        url = URL(address, encoded=True)
        url = url if base is None else base.join(url)
        is_http = url.scheme in SCHEMES and bool(url.host)
    except ValueError:
        raise Unsendable(f"{OPERATION}: the address is none") from None
    if not is_http:
        raise Unsendable(f"{OPERATION}: the address is not http or https, and is not followed")
    return url


async def _kept(response: aiohttp.ClientResponse, target: Path, progress: Callable[[int], None]) -> int:
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            size = 0
            while chunk := await _read(response):
                file.write(chunk)
                size += len(chunk)
                progress(size)
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    return size


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.read(CHUNK_BYTES)
    except FOREIGN as error:
        raise _translated(error) from None


def _translated(error: Exception) -> ApiError:
    """The kind of error alone: what it says may have the signed address in it."""
    kind = NotSent if isinstance(error, aiohttp.ClientConnectorError) else Lost
    return kind(f"{OPERATION}: {type(error).__name__}")
