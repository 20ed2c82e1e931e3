"""The schemes against what their makers publish: worked examples, and their own libraries' signatures."""

import json
from datetime import UTC, datetime

import pytest
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from stripe import WebhookSignature

from bridge.core.webhook.schemes import key_of, verify
from bridge.core.webhook.signature import HttpRequest, Reason, Source, Unverified
from tests.support.webhooks import BODY, NOW_S, WHSEC

# docs/api-contract.md, 5
AMIGO_S = 1_767_225_600
PLATFORM = (
    b'{"type":"conversation-post-processing-complete","post_processing_type":"extract-memories",'
    b'"conversation_id":"67d871c23eb91293ecfae8b0","org_id":"acme"}'
)
NEW, OLD = "whsec_test_2f6b0c1d9e", "whsec_old_77aa11bb22"
SIGNED = "494acca688ee94a9b3f110f768e8ea936c7c12056ff832d2f21d682343e83674"
BY_OLD = "281db61bd27fea54cf706c711afa0b2249c6e07ebc2a7f41cdaaaa2ba10ea90d"
A_MILLISECOND_LATER = "c11c39649c3033f4f9896a246dde37a960fdfc06ea8413a021a7ad03e6af14cf"
WITH_SPACES = "de04fbe6ed1d858b869cf03c66f21696c59a1d17db435cd0e377b4f506b906cc"
OF_UTF8 = "7c2bfb90da0951e2d9bcdd04ae498f8957b18b627283423c6d920007f47e3e52"
OF_NOTHING = "e3c58fbeeab7b6747d6130ef09b5121e7487e930118a1052fec28fad075c8503"


def checked(scheme: str, secrets: list[str], request: HttpRequest, now_s: float, url: str | None = None) -> bool:
    try:
        verify(Source("s", scheme, url=url), [key_of(scheme, one) for one in secrets], request, now_s)
    except Unverified as error:
        return error.reason is not Reason.MISMATCH
    return True


def platform(
    signature: str, body: bytes = PLATFORM, stamp: int = AMIGO_S * 1000, secrets: tuple[str, ...] = (NEW,)
) -> bool:
    headers = {
        "x-amigo-idempotent-key": ("key",),
        "x-amigo-request-timestamp": (str(stamp),),
        "x-amigo-request-signature": (signature,),
    }
    return checked("amigo", list(secrets), HttpRequest(headers, body), AMIGO_S)


def test_the_platforms_worked_vectors() -> None:
    assert len(PLATFORM) == 151
    assert platform(SIGNED)
    assert platform(BY_OLD, secrets=(OLD,))
    assert platform(A_MILLISECOND_LATER, stamp=AMIGO_S * 1000 + 1)
    assert platform(WITH_SPACES, json.dumps(json.loads(PLATFORM)).encode())
    assert platform(OF_UTF8, '{"m":"héllo ✓"}'.encode())
    assert platform(OF_NOTHING, b"")


def test_none_of_them_verifies_in_anothers_place() -> None:
    assert not platform(SIGNED, secrets=(OLD,))
    assert not platform(SIGNED, stamp=AMIGO_S * 1000 + 1)
    for signature in (BY_OLD, A_MILLISECOND_LATER, WITH_SPACES, OF_UTF8, OF_NOTHING):
        assert not platform(signature)


def test_while_two_secrets_are_active_either_signature_will_do() -> None:
    for signature in (SIGNED, BY_OLD, f"{SIGNED},{BY_OLD}", f"{BY_OLD} v1={SIGNED}"):
        assert platform(signature, secrets=(NEW, OLD))
        assert platform(signature, secrets=(OLD, NEW))
    assert platform(f"{BY_OLD},{SIGNED}", secrets=(NEW,))


def test_githubs_example() -> None:
    """docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation"."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    request = HttpRequest({"x-hub-signature-256": (signature,)}, b"Hello, World!")
    assert checked("github", ["It's a Secret to Everybody"], request, NOW_S)


def test_slacks_example() -> None:
    """docs.slack.dev, "Verifying requests from Slack"."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": ("1531420618",),
        "x-slack-signature": ("v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",),
    }
    assert checked("slack", ["8f742231b10e8888abcd99yyyzzz85a5"], HttpRequest(headers, body), 1_531_420_618)


def test_the_standards_example() -> None:
    """The example of the specification's reference libraries."""
    headers = {
        "webhook-id": ("msg_p5jXN8AQM9LWM0D4loKWxJek",),
        "webhook-timestamp": ("1614265330",),
        "webhook-signature": ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",),
    }
    request = HttpRequest(headers, b'{"test": 2432232314}')
    assert checked("standard-webhooks", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], request, 1_614_265_330)


def test_shopifys_recipe() -> None:
    """shopify.dev, "Validate the origin of your webhook": base64 of HMAC-SHA256 over the body."""
    body = b'{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}'
    request = HttpRequest({"x-shopify-hmac-sha256": ("QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw=",)}, body)
    assert checked("shopify", ["test-webhook-secret"], request, NOW_S)


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (
            b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ],
)
def test_twilios_examples(body: bytes, signature: str) -> None:
    """twilio.com/docs/usage/security, and the tests of its own libraries (fields that stand several times)."""
    headers = {
        "content-type": ("application/x-www-form-urlencoded; charset=UTF-8",),
        "x-twilio-signature": (signature,),
    }
    request = HttpRequest(headers, body, "foo=1&bar=2")
    assert checked("twilio", ["12345"], request, NOW_S, "https://mycompany.com/myapp.php")
    assert not checked("twilio", ["12346"], request, NOW_S, "https://mycompany.com/myapp.php")


# --- the makers' libraries


def test_what_stripes_library_signs_verifies() -> None:
    header = WebhookSignature.generate_signature_header(BODY.decode(), "whsec_stripe", NOW_S)
    assert checked("stripe", ["whsec_stripe"], HttpRequest({"stripe-signature": (header,)}, BODY), NOW_S)
    assert not checked("stripe", ["stripe"], HttpRequest({"stripe-signature": (header,)}, BODY), NOW_S)


def test_what_slacks_library_signs_verifies() -> None:
    signature = SignatureVerifier("secret").generate_signature(timestamp=str(NOW_S), body=BODY)
    assert signature is not None
    headers = {"x-slack-request-timestamp": (str(NOW_S),), "x-slack-signature": (signature,)}
    assert checked("slack", ["secret"], HttpRequest(headers, BODY), NOW_S)


def test_what_the_standards_library_signs_verifies() -> None:
    signature = Webhook(WHSEC).sign("msg_2", datetime.fromtimestamp(NOW_S, UTC), BODY.decode())
    headers = {"webhook-id": ("msg_2",), "webhook-timestamp": (str(NOW_S),), "webhook-signature": (signature,)}
    assert checked("standard-webhooks", [WHSEC], HttpRequest(headers, BODY), NOW_S)
    assert checked("standard-webhooks", [WHSEC.removeprefix("whsec_")], HttpRequest(headers, BODY), NOW_S)
    by_svix = {name.replace("webhook-", "svix-"): values for name, values in headers.items()}
    assert checked("standard-webhooks", [WHSEC], HttpRequest(by_svix, BODY), NOW_S)
