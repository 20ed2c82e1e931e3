"""The page that the command line shows about faults; its lists are those of the code."""

from bridge.sandbox.script.fault import AFTER, BEFORE, STREAM, WEBHOOK
from bridge.sandbox.script.reply_draft import SCRIPTS

_HTTP = {
    "http-NNN": "any status from 400 to 599; body=json|text|html|empty, delay_s=SECONDS,",
    "": "and with 429 retry_after=seconds|date|absent, wait_s=SECONDS",
}


def _listed(title: str, kinds: dict[str, str]) -> str:
    return "\n".join([f"{title}:", *(f"  {kind:<24}{words}" for kind, words in kinds.items())])


FAULTS_HELP = f"""\
FAULTS are chosen in three ways, the first one that applies wins:

  by header        x-sandbox-fault: cut-after-commit;after=2
  in the message   [[fault:cut-after-commit;after=2]], once for the same message of the same user
                   (count=3 or count=all for more); scripted replies: [[reply:chunks=40]]
  by rule          POST /_sandbox/faults {{"kind": "http-429", "count": 2, "probability": 0.5,
                   "match": {{"operation": "create-conversation", "user": "...", "service": "...",
                   "text": "...", "tag": "key:value", "header": "name:value"}}, ...settings}}
                   (DELETE /_sandbox/faults removes all rules; kind reply:NAME scripts a reply)

{_listed("Before the operation", {**_HTTP, **BEFORE})}

{_listed("After it", AFTER)}

{_listed("In the stream (after=PIECES, 1; code=500; delay_s; keep; completed=1|0)", STREAM)}

{_listed("Webhooks (operation webhook in a match)", WEBHOOK)}

{_listed("Scripted replies", SCRIPTS)}

The file of --strict is JSON: {{"organizations": [{{"id": "acme", "api_keys": [{{"id": "key-1", "key": "secret"}}],
"users": [{{"user_id": "user-1"}}], "services": [{{"id": "5f0000000000000000000001", "version_sets": ["voice"]}}]}}]}}

Other admin endpoints: GET /_sandbox/journal, GET /_sandbox/interactions, POST /_sandbox/reset,
POST /_sandbox/clock {{"advance_s": 60}}, POST /_sandbox/users {{"organization", "user_id", "denied"}},
POST /_sandbox/services, POST /_sandbox/tokens/revoke, POST /_sandbox/webhooks,
POST /_sandbox/door {{"closed_s": 2}} (no connections for so long).
"""
