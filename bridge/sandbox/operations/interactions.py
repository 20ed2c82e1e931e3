"""The two streaming operations: create and interact (docs/api-contract.md, 1.2, 1.3 and 2)."""

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.client_connection import ClientConnection
from bridge.sandbox.http.interact_form import InteractForm, check_audio_config, interact_form, require_message
from bridge.sandbox.http.query import Query
from bridge.sandbox.http.refusal import (
    AUDIO_UNSUPPORTED,
    EVENT_INCONSISTENT,
    EVENT_NOT_PAST,
    FINISHED_OR_BUSY,
    NO_SERVICE,
    OPERATION_IN_PROGRESS,
    UNFINISHED_EXISTS,
    Problems,
    Refusal,
)
from bridge.sandbox.operations.requests import CreateConversation
from bridge.sandbox.script.playback import Playback
from bridge.sandbox.script.reply import AGENT
from bridge.sandbox.script.script import Wishes, script_of
from bridge.sandbox.script.script_steps import Say
from bridge.sandbox.state.rows import Conversation, Interaction, Message, Turn

_FORMATS = ("text", "voice")
_MESSAGE_TYPES = ("user-message", "external-event")
_CLOCK_SKEW_MS = 5_000  # how far in the future an external event may be, because clocks differ
_MP3_STARTS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_FOREIGN_STARTS = (b"fLaC", b"OggS", *_MP3_STARTS)


async def create(call: Call) -> web.StreamResponse:
    """POST /conversation/ - 201 and a stream."""
    query = Query(call.request)
    wishes = _wishes(call, query)
    body = read_body(CreateConversation, call.body, query.problems)
    service_id, version_set = body.service_id, body.service_version_set_name
    call.require("Conversation:CreateConversation")
    _require_service(call, service_id, version_set)
    _require_vacancy(call, service_id)
    now_ms = call.state.clock.now_ms()
    identity = (call.state.ids.new(), call.org_id, call.user.user_id, service_id, version_set)
    conversation = Conversation(*identity, now_ms, body.tags, body.is_test)
    kind = body.initial_message_type or "agent-first"
    turn = _turn(call, conversation, kind, body.initial_message or "", [], voice=False)
    turn.starts_conversation = True
    return await _stream(call, turn, wishes, 201)


async def interact(call: Call) -> web.StreamResponse:
    """POST /conversation/{id}/interact - 200 and a stream."""
    query = Query(call.request)
    voice = query.choice("request_format", _FORMATS) == "voice"
    wishes = _wishes(call, query)
    form = _form(call, query.problems)
    check_audio_config(query.text("request_audio_config"), query.problems, required=voice)
    if not voice:
        _require_utf8(form, query.problems)
    query.settle()
    conversation = call.conversation()
    call.require("User:UpdateUserInfo", "Conversation:InteractWithConversation")
    if conversation.finished_ms is not None or call.state.store.streaming(conversation):
        raise Refusal(409, FINISHED_OR_BUSY)
    require_message(form)
    events = _events_in_order(call, conversation, form)
    text = _transcript(form.recorded, query.text("request_audio_config") or "") if voice else _words(form)
    turn = _turn(call, conversation, form.message_type, text, events, voice=voice)
    return await _stream(call, turn, wishes, 200)


def _wishes(call: Call, query: Query) -> Wishes:
    voice = query.choice("response_format", _FORMATS) == "voice"
    pattern = query.pattern("current_agent_action_type")
    sees_actions = call.may("Conversation:GetInteractionInsights")
    return Wishes(pattern, voice, sees_actions, call.state.options.announce_on_create)


def _require_service(call: Call, service_id: str, version_set: str) -> None:
    directory = call.state.directory
    service = directory.service(call.org_id, service_id)
    if service is None or not service.is_active or not directory.has_version_set(service, version_set):
        raise Refusal(404, NO_SERVICE)
    if version_set not in service.version_sets:
        service.version_sets.append(version_set)


def _require_vacancy(call: Call, service_id: str) -> None:
    """One unfinished conversation for each user and service, and none that is still finishing."""
    store = call.state.store
    standing = store.unfinished(call.org_id, call.user.user_id, service_id)
    if standing is None:
        _require_settled(call, service_id)
        return
    if store.streaming(standing) and call.state.options.create_while_streaming == 409:
        raise Refusal(409, OPERATION_IN_PROGRESS)
    raise Refusal(400, UNFINISHED_EXISTS)


def _require_settled(call: Call, service_id: str) -> None:
    """409 while an earlier conversation of the user and service is still finishing."""
    if not call.state.options.finishing_s:
        return
    latest_ms = call.state.clock.now_ms() - call.state.options.finishing_s * 1000
    for row in call.state.store.of_users(call.org_id, [call.user.user_id]):
        if row.service_id == service_id and row.finished_ms is not None and row.finished_ms > latest_ms:
            raise Refusal(409, OPERATION_IN_PROGRESS)


def _form(call: Call, problems: Problems) -> InteractForm:
    if call.parts is None:
        message = "String should match pattern '^multipart\\/form-data; boundary=.+$'"
        given = call.request.headers.get("content-type")
        problems.add("string_pattern_mismatch", ("header", "content-type"), message, given)
        problems.settle()
    return interact_form(call.parts or [], problems)


def _require_utf8(form: InteractForm, problems: Problems) -> None:
    try:
        form.recorded.decode()
    except UnicodeDecodeError:
        problems.add("string_unicode", ("body", "recorded_message"), "Input should be valid UTF-8")


def _words(form: InteractForm) -> str:
    return form.recorded.decode().strip()


def _transcript(audio: bytes, config: str) -> str:
    """The words heard in the audio (nothing but its size); 415 for audio that is not what the config says."""
    if "pcm" in config and audio.startswith(_FOREIGN_STARTS):
        raise Refusal(415, AUDIO_UNSUPPORTED)
    if "pcm" not in config and not audio.startswith((*_MP3_STARTS, b"RIFF")):
        raise Refusal(415, AUDIO_UNSUPPORTED)
    return f"This is what I said in {len(audio)} bytes of audio."


def _events_in_order(call: Call, conversation: Conversation, form: InteractForm) -> list[tuple[str, int]]:
    """The external events with their times, which must be past, in order, and after the last message."""
    latest_ms = conversation.last_ms if conversation.messages else 0
    for time_ms in form.external_times_ms:
        if time_ms > call.state.clock.now_ms() + _CLOCK_SKEW_MS:
            raise Refusal(400, EVENT_NOT_PAST)
    times = form.external_times_ms
    if times != sorted(times) or (times and times[0] <= latest_ms):
        raise Refusal(400, EVENT_INCONSISTENT)
    return list(zip(form.external_events, times, strict=True))


def _turn(
    call: Call, conversation: Conversation, kind: str, text: str, events: list[tuple[str, int]], *, voice: bool
) -> Turn:
    new = call.state.ids.new
    interaction_id = new()
    spoken = kind in _MESSAGE_TYPES
    messages = [
        Message(new(), interaction_id, time_ms, "External event", content, "text", "external-event")
        for content, time_ms in events
    ]
    if spoken:
        earliest_ms = messages[-1].created_ms + 1 if messages else conversation.last_ms + bool(conversation.messages)
        sender = call.user.first_name if kind == "user-message" else "External event"
        form = "voice" if voice else "text"
        at_ms = max(call.state.clock.now_ms(), earliest_ms)
        messages.append(Message(new(), interaction_id, at_ms, sender, text, form, kind))
    user_message_id = messages[-1].id if spoken else None
    agent = Message(new(), interaction_id, 0, AGENT, "", "text", "agent-message")
    interaction = Interaction(
        interaction_id,
        conversation.id,
        kind,
        text,
        [content for content, _ in events],
        user_message_id,
        agent.id,
        full_message="",
        completed=False,
        scene=call.state.store.begun_turns,
    )
    return Turn(conversation, interaction, [*messages, agent], starts_conversation=False)


async def _stream(call: Call, turn: Turn, wishes: Wishes, status: int) -> web.StreamResponse:
    """Plays the turn. From the checks to the lock nothing is awaited, so that no other call comes between."""
    steps = script_of(turn, wishes, call.faults)
    call.entry.conversation_id = turn.conversation.id
    call.observed(status, lines=tuple(step.data for step in steps if isinstance(step, Say)))
    connection = ClientConnection(call.request, status, call.headers)
    survives = call.state.options.on_disconnect == "commit" or any(
        fault.kind == "disconnect-commits" for fault in call.faults
    )
    playback = Playback(call.state.store, turn, connection, pace=call.state.options.pace, survives=survives)
    try:
        await playback.play(steps)
    finally:
        call.entry.outcome = playback.outcome
        call.entry.status = status if connection.response.prepared else 0
    if playback.outcome == "committed" and turn.interaction.completed:
        call.state.webhook_sender.process(turn.conversation)
    return connection.response
