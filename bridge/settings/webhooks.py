"""The configuration of the webhooks: which scheme needs what."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bridge.core.webhook import signature
from bridge.core.webhook.schemes import SCHEMES, key_of
from bridge.edges.webhook_secrets import read_secrets
from bridge.settings.types import Duration, HeaderName, Payload, PublicUrl, Section, WebhookSecret

Scheme = Literal[
    "standard-webhooks", "amigo", "github", "stripe", "shopify", "slack", "twilio", "hmac", "bearer", "basic", "none"
]


class HmacSettings(Section):
    header: HeaderName
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    payload: Payload = "{body}"
    prefix: str = ""
    timestamp_header: HeaderName | None = None
    timestamp_unit: Literal["s", "ms"] = "s"
    id_header: HeaderName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "HmacSettings":
        if (self.timestamp_header is not None) != ("{timestamp}" in self.payload):
            raise ValueError("timestamp_header and {timestamp} in payload: a time is signed, or there is none")
        if "{id}" in self.payload and self.id_header is None:
            raise ValueError("{id} in payload needs id_header")
        return self


class WebhookSettings(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    scheme: Scheme
    secrets: tuple[WebhookSecret, ...] = ()
    secrets_file: Path | None = None
    tolerance: Annotated[Duration, Field(gt=0)] = 300.0
    max_bytes: Annotated[int, Field(ge=1, le=128 * 1024 * 1024)] = 1024 * 1024
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000.0
    url: PublicUrl | None = None
    id_header: HeaderName | None = None
    hmac: HmacSettings | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "WebhookSettings":
        keyed = bool(self.secrets) or self.secrets_file is not None
        rules = {
            "scheme none lets anybody in: set insecure: true if that is meant": self.scheme == "none"
            and not self.insecure,
            "secrets or secrets_file is needed": SCHEMES[self.scheme].keyed and not keyed,
            "hmac is needed for the scheme hmac, and for no other": (self.hmac is None) == (self.scheme == "hmac"),
            "url is needed: Twilio signs the address that it calls": self.scheme == "twilio" and self.url is None,
        }
        wrong = [rule for rule, applies in rules.items() if applies]
        for number, secret in enumerate(self.secrets):
            try:
                key_of(self.scheme, secret.get_secret_value())
            except ValueError as error:
                wrong.append(f"secrets.{number}: {error}")
        wrong += self._wrong_in_file()
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _wrong_in_file(self) -> list[str]:
        """Faults of secrets_file, if there is one by now: it may come later, and be changed while the service runs."""
        try:
            for secret in read_secrets(self.secrets_file) if self.secrets_file is not None else ():
                key_of(self.scheme, secret.text)
        except ValueError as error:
            return [f"secrets_file: {error}"]
        return []

    def source(self) -> signature.Source:
        """The core's value for this webhook, without its secrets."""
        return signature.Source(
            name=self.name,
            scheme=self.scheme,
            tolerance_s=self.tolerance,
            max_bytes=self.max_bytes,
            rate=self.rate,
            url=self.url,
            id_header=self.id_header,
            hmac=signature.HmacForm(**dict(self.hmac)) if self.hmac is not None else signature.HmacForm(""),
        )
