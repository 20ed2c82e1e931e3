"""Sound that users say: what the API takes of it, and what is refused before it is asked."""

import io
import wave

import pytest

from bridge.core.errors import Unsendable
from bridge.core.event.event_fields import Audio
from bridge.edges.amigo.agent import recording_of
from bridge.edges.amigo.multipart import Recording


def wav(channels: int = 1, width: int = 2, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(b"\0" * channels * width * 10)
    return file.getvalue()


@pytest.mark.parametrize("media_type", ["audio/mpeg", "AUDIO/MP3", " audio/mpeg; rate=1"])
def test_mp3_goes_as_it_is(media_type: str) -> None:
    assert recording_of(Audio(media_type, b"ID3")) == Recording(b"ID3")


@pytest.mark.parametrize("media_type", ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave; codec=1"])
@pytest.mark.parametrize(("width", "rate"), [(2, 4_000), (2, 44_100), (4, 16_000)])
def test_wav_goes_with_the_form_that_its_header_says(media_type: str, width: int, rate: int) -> None:
    sound = wav(1, width, rate)
    assert recording_of(Audio(media_type, sound)) == Recording(sound, rate, width)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (Audio("audio/flac", b"x"), "audio/flac"),
        (Audio("text/plain", b"x"), "takes audio/mpeg and audio/wav"),
        (Audio("audio/wav", b"x"), "no WAV file"),
        (Audio("audio/wav", b""), "no WAV file"),
        (Audio("audio/wav", b"RIFF" + b"\xff" * 100), "no WAV file"),
        (Audio("audio/wav", wav(2)), "2 channels"),
        (Audio("audio/wav", wav(1, 1)), "1 bytes"),
        (Audio("audio/wav", wav(1, 3)), "3 bytes"),
        (Audio("audio/wav", wav(1, 2, 3_999)), "3999 Hz"),
        (Audio("audio/wav", wav(1, 2, 48_000)), "48000 Hz"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_the_api_does_not_take_is_not_sent(audio: Audio, words: str) -> None:
    with pytest.raises(Unsendable, match=words):
        recording_of(audio)
