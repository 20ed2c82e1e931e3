"""Every webhook scheme: what verifies, and that nothing else does."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core.webhook.schemes import SCHEMES, UNITS, Signing, key_of, verify
from bridge.core.webhook.signature import HmacForm, HttpRequest, Reason, Source, Unverified
from tests.support.webhooks import BODY, FORM, NOW_S, SECRET, TIMED, Sample, based, hexed, samples, signed_at, timed

SAMPLES = samples()
UNSIGNED = ("bearer", "basic")
every = pytest.mark.parametrize("name", SAMPLES)
signing = pytest.mark.parametrize("name", [name for name in SAMPLES if name not in UNSIGNED])
with_time = pytest.mark.parametrize("name", TIMED)


def keys(sample: Sample, *more: str) -> tuple[bytes, ...]:
    return tuple(key_of(sample.source.scheme, secret) for secret in (sample.secret, *more))


def reason(sample: Sample, request: HttpRequest, now_s: float = NOW_S) -> Reason:
    with pytest.raises(Unverified) as caught:
        verify(sample.source, keys(sample), request, now_s)
    return caught.value.reason


def test_every_scheme_has_a_sample() -> None:
    assert {sample.source.scheme for sample in SAMPLES.values()} | {"none"} == set(SCHEMES)


@every
def test_a_good_request_verifies(name: str) -> None:
    sample = SAMPLES[name]
    verify(sample.source, keys(sample), sample.request, NOW_S)


@every
def test_what_the_bridge_signs_itself_verifies(name: str) -> None:
    sample = SAMPLES[name]
    if name == "twilio-json":
        return
    key = keys(sample)[0]
    headers = SCHEMES[sample.source.scheme].sign(sample.source, Signing(key, sample.body, "id-2", NOW_S))
    lowered = {header.lower(): (value,) for header, value in headers.items()}
    request = sample.but(headers={"content-type": sample.request.headers["content-type"], **lowered})
    verify(sample.source, (key,), request, NOW_S)


@every
def test_a_wrong_secret_does_not(name: str) -> None:
    sample = SAMPLES[name]
    wrong = key_of(sample.source.scheme, "user:other" if name == "basic" else sample.secret[:-8] + "AAAAAAA=")
    with pytest.raises(Unverified, match="mismatch"):
        verify(sample.source, (wrong,), sample.request, NOW_S)


@every
def test_no_secret_at_all_verifies_nothing(name: str) -> None:
    with pytest.raises(Unverified):
        verify(SAMPLES[name].source, (), SAMPLES[name].request, NOW_S)


@every
def test_any_of_several_secrets_will_do(name: str) -> None:
    sample = SAMPLES[name]
    other = key_of(sample.source.scheme, "user:other" if name == "basic" else sample.secret[:-8] + "AAAAAAA=")
    for order in ((other, *keys(sample)), (*keys(sample), other)):
        verify(sample.source, order, sample.request, NOW_S)


@pytest.mark.parametrize("given", ["dTpw", "dTpwYQ==", "dTpwYXM="])
def test_basic_credentials_are_base64_with_its_padding(given: str) -> None:
    """RFC 7617, section 2, and RFC 4648, section 3.2; anything else is answered with the challenge."""
    sample, key = SAMPLES["basic"], base64.b64decode(given)
    verify(sample.source, (key,), sample.with_header("authorization", f"Basic {given}"), NOW_S)
    for broken in (given.rstrip("="), given[:-1], "=", "====", "dTpw\u00e9", given + "!"):
        if broken != given:
            with pytest.raises(Unverified, match=r"malformed|mismatch"):
                verify(sample.source, (key,), sample.with_header("authorization", f"Basic {broken}"), NOW_S)


@every
def test_a_missing_or_empty_header_fails_closed(name: str) -> None:
    sample = SAMPLES[name]
    for header in sample.guarded:
        assert reason(sample, sample.without(header)) is Reason.MISSING
        assert reason(sample, sample.with_header(header, "")) is Reason.MISSING


def test_the_platforms_key_must_be_there_too() -> None:
    assert reason(SAMPLES["amigo"], SAMPLES["amigo"].without("x-amigo-idempotent-key")) is Reason.MISSING


@every
def test_a_header_twice_is_refused_even_where_both_are_good(name: str) -> None:
    """But for the platform's signatures, of which there may be several."""
    sample = SAMPLES[name]
    for header in sample.guarded:
        if header != "x-amigo-request-signature":
            good = sample.headers[header]
            assert reason(sample, sample.with_header(header, good, good)) is Reason.REPEATED
            assert reason(sample, sample.with_header(header, good, "x")) is Reason.REPEATED


@signing
@pytest.mark.parametrize("change", [lambda body: body + b" ", lambda body: body[:-1], lambda _: b"", bytes.upper])
def test_an_altered_body_does_not(name: str, change: Callable[[bytes], bytes]) -> None:
    sample = SAMPLES[name]
    reason(sample, sample.but(body=change(sample.body)))


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in (*UNSIGNED, "twilio")])
def test_the_same_json_written_anew_does_not(name: str) -> None:
    again = json.dumps(json.loads(BODY)).encode()
    assert json.loads(again) == json.loads(BODY)
    assert reason(SAMPLES[name], SAMPLES[name].but(body=again)) is Reason.MISMATCH


@with_time
def test_an_old_time_and_a_future_one_do_not_and_the_window_is_the_sources(name: str) -> None:
    sample = timed(name)
    for off_s in (-300, 300):
        verify(sample.source, keys(sample), sample.request, NOW_S + off_s)
    assert reason(sample, sample.request, NOW_S + 300.1) is Reason.STALE
    assert reason(sample, sample.request, NOW_S - 300.1) is Reason.FUTURE
    assert reason(sample, sample.request, NOW_S + 10 * 365 * 86_400) is Reason.STALE


@with_time
def test_a_time_that_was_not_signed_does_not(name: str) -> None:
    """A captured request cannot be kept young by writing another time on it."""
    sample = timed(name, NOW_S - 3600)
    fresh = {name: (value,) for name, value in signed_at(name, NOW_S).items()}
    old = sample.request.headers
    for header in sample.guarded:
        text = old[header][0]
        stamp, now = str(NOW_S - 3600), str(NOW_S)
        if stamp in text:
            forged = sample.with_header(header, text.replace(stamp, now))
            assert reason(sample, forged) is Reason.MISMATCH
    assert fresh != old


@with_time
@pytest.mark.parametrize(
    "stamp",
    ["now", "-1", "+5", "1e9", "17672256 00", "１７６７２２５６００", "1_767_225_600", "1" * 17, "0x10", "NaN", "inf"],
)
def test_what_is_no_time_is_refused(name: str, stamp: str) -> None:
    sample = timed(name)
    for header, value in sample.headers.items():
        for unit in UNITS.values():
            if str(NOW_S * unit) in value.split(",")[0].removeprefix("t=") and header in sample.guarded:
                forged = sample.with_header(header, value.replace(str(NOW_S * unit), stamp))
                assert reason(sample, forged) in (Reason.MALFORMED, Reason.STALE, Reason.MISMATCH)


@every
def test_odd_characters_in_headers_are_refused_and_raise_nothing_else(name: str) -> None:
    sample = SAMPLES[name]
    for header in sample.guarded:
        for odd in (
            "\udcff",
            "\ud800",
            "é",
            "\x00",
            " ",
            ",",
            "=",
            "v1,",
            "v1=",
            "t=,v1=",
            "Bearer ",
            "Basic =",
            "😀" * 99,
        ):
            reason(sample, sample.with_header(header, odd))


# --- the platform's


def test_the_platforms_signatures_may_travel_in_many_ways() -> None:
    sample = timed("amigo")
    good = sample.headers["x-amigo-request-signature"]
    other = hexed("old", b"x")
    name = "x-amigo-request-signature"
    for values in (
        (f"{other},{good}",),
        (f"{good}, {other}",),
        (f"v1={other} v1={good}",),
        (f"{other};{good}",),
        (other, good),
    ):
        verify(sample.source, keys(sample), sample.with_header(name, *values), NOW_S)
    second = sample.but(headers={**sample.request.headers, name: (other,), f"{name}-2": (good,)})
    verify(sample.source, keys(sample), second, NOW_S)
    assert reason(sample, sample.with_header(name, good[:63])) is Reason.MISMATCH
    assert reason(sample, sample.with_header(name, "v1=v1=" + good)) is Reason.MISMATCH


def test_signatures_beyond_the_twentieth_are_not_looked_at() -> None:
    sample = timed("amigo")
    good = sample.headers["x-amigo-request-signature"]
    many = [hexed(str(number), b"") for number in range(20)]
    assert reason(sample, sample.with_header("x-amigo-request-signature", ",".join([*many, good]))) is Reason.MISMATCH
    verify(
        sample.source,
        keys(sample),
        sample.with_header("x-amigo-request-signature", ",".join([*many[1:], good])),
        NOW_S,
    )


def test_only_the_time_is_returned_where_no_header_with_the_id_is_signed() -> None:
    """Stripe and Slack may have it in the body, and so signed; but then the same body has the same id."""
    times = {"amigo": f"{NOW_S}000", "stripe": str(NOW_S), "slack": str(NOW_S)}
    for name, sample in SAMPLES.items():
        assert verify(sample.source, keys(sample), sample.request, NOW_S) == times.get(name)


@with_time
def test_an_id_that_is_configured_elsewhere_is_not_signed(name: str) -> None:
    sample = timed(name)
    source = replace(sample.source, id_header="X-Other-Id")
    stamp = verify(source, keys(sample), sample.request, NOW_S)
    assert stamp == (f"{NOW_S}000" if name == "amigo" else str(NOW_S))


# --- others


@pytest.mark.parametrize("name", ["amigo", "github", "stripe", "slack", "hmac"])
def test_hexadecimal_digits_may_be_of_either_case(name: str) -> None:
    sample = SAMPLES[name]
    for header in sample.guarded:
        value = sample.headers[header]
        for written in (re.sub(r"[0-9a-f]{64,128}", lambda found: found[0].upper(), value), value.replace("a", "A")):
            verify(sample.source, keys(sample), sample.with_header(header, written), NOW_S)


def test_a_prefix_may_be_of_either_case_beside_hexadecimal_digits_and_base64_may_not() -> None:
    sample = SAMPLES["hmac"]
    value = sample.headers["x-signature"]
    verify(sample.source, keys(sample), sample.with_header("x-signature", value.upper()), NOW_S)
    assert reason(sample, sample.with_header("x-signature", value.removeprefix("sha512="))) is Reason.MISMATCH
    source = Source("s", "hmac", hmac=HmacForm("X-S", encoding="base64"))
    based64 = based(SECRET.encode(), BODY)
    for written, good in ((based64, True), (based64.swapcase(), False)):
        request = HttpRequest({"x-s": (written,)}, BODY)
        if good:
            verify(source, (SECRET.encode(),), request, NOW_S)
        else:
            with pytest.raises(Unverified):
                verify(source, (SECRET.encode(),), request, NOW_S)


def svix(**changes: str) -> HttpRequest:
    """A request as Svix signs it, under its own names, with more headers or other values."""
    sample = timed("standard-webhooks")
    named = {name.replace("webhook-", "svix-"): value for name, value in sample.headers.items()}
    named |= {name.replace("_", "-"): value for name, value in changes.items()}
    return sample.but(headers={name: (value,) for name, value in named.items() if value})


def test_svixs_own_names_are_as_good_as_the_standards() -> None:
    sample = SAMPLES["standard-webhooks"]
    verify(sample.source, keys(sample), svix(), NOW_S)
    for name in ("id", "timestamp", "signature"):
        assert reason(sample, svix(**{f"svix_{name}": ""})) is Reason.MISSING
    assert reason(sample, svix(svix_id="msg_2")) is Reason.MISMATCH
    both = {**svix().headers, **sample.request.headers}
    verify(sample.source, keys(sample), sample.but(headers=both), NOW_S)


def test_the_parts_of_two_sets_are_never_mixed() -> None:
    """Or the id that is used would not be the one that is signed."""
    sample = SAMPLES["standard-webhooks"]
    good = sample.headers
    for name in ("id", "timestamp", "signature"):
        for value in (good[f"webhook-{name}"], "other"):
            reason(sample, svix(**{f"webhook_{name}": value}))
            reason(sample, svix(**{f"webhook_{name}": value, f"svix_{name}": ""}))
    both = {**svix().headers, **sample.request.headers}
    assert reason(sample, sample.but(headers={**both, "webhook-signature": ("v1,x",)})) is Reason.MISMATCH


def test_twilio_may_sign_the_port_or_not() -> None:
    fields = "".join(("Body", "hello there", "CallSid", "CA123", "From", "+14158675309"))
    sample = SAMPLES["twilio"]
    for configured, signed, good in (
        ("https://h.example/p", "https://h.example/p", True),
        ("https://h.example/p", "https://h.example:443/p", True),
        ("https://h.example:443/p", "https://h.example/p", True),
        ("https://h.example:443/p", "https://h.example:443/p", True),
        ("https://h.example:8443/p", "https://h.example/p", True),
        ("https://h.example:8443/p", "https://h.example:8443/p", True),
        ("https://h.example:8443/p", "https://h.example:443/p", False),
        ("https://h.example/p", "https://h.example:80/p", False),
        ("https://h.example/p", "http://h.example/p", False),
        ("http://h.example/p", "http://h.example:80/p", True),
        ("http://h.example:80", "http://h.example", True),
        ("https://[2001:db8::1]/p", "https://[2001:db8::1]:443/p", True),
        ("https://[2001:db8::1]:443/p", "https://[2001:db8::1]/p", True),
        ("https://h.example/p:80/q", "https://h.example:443/p:80/q", True),
        ("https://u:1@h.example/p", "https://u:1@h.example:443/p", True),
    ):
        for query in ("", "a=b:80/"):
            source = replace(sample.source, url=configured)
            address = f"{signed}?{query}" if query else signed
            signature = based(SECRET.encode(), (address + fields).encode(), "sha1")
            request = replace(sample.with_header("x-twilio-signature", signature), query=query)
            try:
                verify(source, keys(sample), request, NOW_S)
                verified = True
            except Unverified:
                verified = False
            assert verified is good, (configured, signed)


def test_who_sends_the_secret_itself_is_challenged_as_http_says() -> None:
    assert SCHEMES["basic"].challenge.startswith('Basic realm="')
    assert SCHEMES["bearer"].challenge.startswith('Bearer realm="')


def test_a_dot_in_the_id_could_move_the_border_between_id_and_time() -> None:
    body = b"1767225600.5"
    moved = {
        **signed_at("standard-webhooks", NOW_S, body),
        "webhook-id": f"msg_1.{NOW_S}",
        "webhook-timestamp": "1767225600",
    }
    sample = timed("standard-webhooks", body=body)
    assert reason(sample, sample.but(headers={n: (v,) for n, v in moved.items()}, body=b"5")) is Reason.MALFORMED


def test_stripes_old_schemes_are_not_taken_and_its_time_stands_once() -> None:
    sample = timed("stripe")
    text = sample.headers["stripe-signature"]
    assert reason(sample, sample.with_header("stripe-signature", text.replace("v1=", "v0="))) is Reason.MISMATCH
    assert reason(sample, sample.with_header("stripe-signature", f"{text},t={NOW_S + 1}")) is Reason.REPEATED
    assert reason(sample, sample.with_header("stripe-signature", text.partition(",")[2])) is Reason.MISSING
    verify(sample.source, keys(sample), sample.with_header("stripe-signature", f"{text},v1={'0' * 64},v0=x"), NOW_S)


def test_twilio_signs_the_address_and_an_empty_form_proves_nothing() -> None:
    sample = SAMPLES["twilio"]
    assert reason(sample, sample.but(query="a=b")) is Reason.MISMATCH
    assert reason(sample, sample.but(body=b"")) is Reason.MALFORMED
    assert reason(sample, sample.but(body=b"&&&")) is Reason.MALFORMED
    assert reason(sample, sample.but(body=b"a=%ff")) is Reason.MALFORMED
    assert reason(sample, sample.but(body=b"a=b&" * 1001)) is Reason.MALFORMED
    assert reason(SAMPLES["twilio-json"], SAMPLES["twilio-json"].but(query="")) is Reason.MISSING
    reordered = b"&".join(reversed(FORM.split(b"&")))
    verify(sample.source, keys(sample), sample.but(body=reordered), NOW_S)


def test_a_word_in_any_case_but_the_secret_as_it_is() -> None:
    sample = SAMPLES["bearer"]
    verify(sample.source, keys(sample), sample.with_header("authorization", f"bearer {SECRET}"), NOW_S)
    for odd in (
        SECRET,
        f"Basic {SECRET}",
        f"Bearer {SECRET.upper()}",
        f"Bearer {SECRET}x",
        "Bearer",
        f"Bearer{SECRET}",
    ):
        reason(sample, sample.with_header("authorization", odd))


def test_none_takes_everything() -> None:
    assert verify(Source("s", "none"), (), HttpRequest({}, b""), 0.0) is None


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [("standard-webhooks", "whsec_!"), ("standard-webhooks", "whsec_"), ("basic", "no-colon"), ("github", "")],
)
def test_a_secret_that_is_not_of_the_schemes_form_is_refused(scheme: str, secret: str) -> None:
    with pytest.raises(ValueError, match=r"form|empty"):
        key_of(scheme, secret)
