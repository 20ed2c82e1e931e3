"""Downloads: streamed into a file that is there as a whole or not at all, and never with the API's credentials."""

import os
from pathlib import Path

import pytest

from bridge.core.errors import Lost, NotSent, Refused, Unsendable
from bridge.edges.amigo.download import MAX_REDIRECTS, download
from deploy.local.node import free_port
from tests.edges.conftest import Serve
from tests.support.scripted import Talk, head

AUDIO = bytes(range(256)) * 4096
SIGNED = "/a%2Fb%20c?X-Signature=%2B%2F%3D&e=1%7E+x"


async def got(address: str, folder: Path) -> tuple[int, list[int]]:
    told: list[int] = []
    return await download(address, folder / "a.wav", told.append), told


async def test_a_download_is_the_body_and_the_address_is_asked_for_as_it_is_written(
    serve: Serve, tmp_path: Path
) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(200, AUDIO, Content_Encoding="gzip")

    server = await serve(script)
    size, told = await got(server.base_url + SIGNED, tmp_path)
    assert (size, told[-1], told == sorted(told), len(told) > 1) == (len(AUDIO), len(AUDIO), True, True)
    assert (tmp_path / "a.wav").read_bytes() == AUDIO
    (request,) = server.requests
    assert request.target == SIGNED
    assert not {"authorization", "x-api-key", "x-api-key-id", "x-user-id", "cookie"} & set(request.headers)


async def test_redirects_are_followed_to_http_only(serve: Serve, tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        targets = {"/first": SIGNED, "/file": "file:///etc/passwd", "/ftp": "ftp://127.0.0.1/x", "/loop": "/loop"}
        location = targets.get(talk.request.target)
        if location is None:
            await talk.answer(200, AUDIO)
        else:
            await talk.answer(302, b"", Location=location)

    server = await serve(script)
    assert (await got(f"{server.base_url}/first", tmp_path))[0] == len(AUDIO)
    assert [request.target for request in server.requests] == ["/first", SIGNED]
    for path in ("/file", "/ftp"):
        with pytest.raises(Unsendable, match="not http"):
            await got(server.base_url + path, tmp_path)
    with pytest.raises(Lost, match=f"{MAX_REDIRECTS} redirects"):
        await got(f"{server.base_url}/loop", tmp_path)
    assert len(server.of("/loop")) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://example.com/a", "", "/a", "http://", "data:,x", "http://a:b/"]
)
async def test_an_address_that_is_not_http_is_not_asked_for(address: str, tmp_path: Path) -> None:
    with pytest.raises(Unsendable):
        await got(address, tmp_path)
    assert os.listdir(tmp_path) == []


async def test_a_download_that_breaks_off_leaves_the_old_file(serve: Serve, tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(head(200, Content_Length="1000") + AUDIO[:500])

    (tmp_path / "a.wav").write_bytes(b"older")
    server = await serve(script)
    with pytest.raises(Lost):
        await got(server.base_url, tmp_path)
    assert (os.listdir(tmp_path), (tmp_path / "a.wav").read_bytes()) == (["a.wav"], b"older")


async def test_what_is_not_there_is_refused_and_who_is_away_is_not_reached(serve: Serve, tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(403, b"<Error/>")

    server = await serve(script)
    with pytest.raises(Refused, match="403"):
        await got(server.base_url, tmp_path)
    with pytest.raises(NotSent) as raised:
        await got(f"http://127.0.0.1:{free_port()}{SIGNED}", tmp_path)
    assert "Signature" not in str(raised.value)
    assert os.listdir(tmp_path) == []


async def test_a_file_that_cannot_be_written_is_an_error_of_the_file(serve: Serve, tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(200, AUDIO)

    server = await serve(script)
    with pytest.raises(FileNotFoundError):
        await download(server.base_url, tmp_path / "none" / "a.wav", lambda _: None)
