"""Everything the sandbox remembers between requests, and the two moments that matter: commit and void."""

from bridge.sandbox.state.clock import Clock
from bridge.sandbox.state.file import StateFile
from bridge.sandbox.state.rows import Conversation, Delivery, Destination, Interaction, Turn, User


class Store:
    """Rows in memory; each change is also appended to the state file."""

    def __init__(self, clock: Clock, state_file: StateFile) -> None:
        self._clock = clock
        self._file = state_file
        self.destinations: dict[str, Destination] = {}
        self.deliveries: dict[str, Delivery] = {}
        self._empty()
        tables = state_file.load()
        state_file.rewrite(tables)
        for row in tables.get("conversations", {}).values():
            self._index(Conversation.load(row))
        for row in tables.get("users", {}).values():
            self.users[row["org_id"], row["user_id"]] = User(**row)
        self.deleted_users.update((org_id, user_id) for org_id, user_id in tables.get("deleted_users", {}).values())
        self.destinations = {key: Destination(**row) for key, row in tables.get("destinations", {}).items()}
        self.deliveries = {key: Delivery(**row) for key, row in tables.get("deliveries", {}).items()}
        self.interactions.sort(key=lambda interaction: interaction.committed_ms)

    def _empty(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.users: dict[tuple[str, str], User] = {}
        self.deleted_users: set[tuple[str, str]] = set()
        self.destinations.clear()
        self.deliveries.clear()
        self.interactions: list[Interaction] = []
        self.begun_turns = 0
        self._streaming: dict[str, Turn] = {}
        self._unfinished: dict[tuple[str, str, str], Conversation] = {}
        self._by_user: dict[tuple[str, str], dict[str, Conversation]] = {}

    def reset(self) -> None:
        """Forgets everything."""
        self._empty()
        self._file.rewrite({})

    def close(self) -> None:
        self._file.close()

    # Conversations -----------------------------------------------------------------------------------------------

    def find(self, org_id: str, conversation_id: str) -> Conversation | None:
        found = self.conversations.get(conversation_id)
        return found if found is not None and found.org_id == org_id else None

    def unfinished(self, org_id: str, user_id: str, service_id: str) -> Conversation | None:
        """The one conversation that stands in the way of a create."""
        return self._unfinished.get((org_id, user_id, service_id))

    def of_users(self, org_id: str, user_ids: list[str]) -> list[Conversation]:
        """Conversations in the order of their birth, of these users or (none named) of all."""
        if not user_ids:
            return [c for c in self.conversations.values() if c.org_id == org_id]
        rows = [c for user_id in dict.fromkeys(user_ids) for c in self._by_user.get((org_id, user_id), {}).values()]
        return sorted(rows, key=lambda c: (c.created_ms, c.id))

    def save(self, conversation: Conversation) -> None:
        self._file.put("conversations", conversation.id, conversation)

    def drop(self, conversation: Conversation) -> None:
        """Removes a conversation as if it had never been."""
        self.conversations.pop(conversation.id, None)
        self._by_user.get((conversation.org_id, conversation.user_id), {}).pop(conversation.id, None)
        self._vacate(conversation)
        self._file.put("conversations", conversation.id, None)

    def finish(self, conversation: Conversation) -> None:
        conversation.finished_ms = self._clock.now_ms()
        self._vacate(conversation)
        self.save(conversation)

    def _vacate(self, conversation: Conversation) -> None:
        if self._unfinished.get(_lane(conversation)) is conversation:
            del self._unfinished[_lane(conversation)]

    def _index(self, conversation: Conversation) -> None:
        self.conversations[conversation.id] = conversation
        self._by_user.setdefault((conversation.org_id, conversation.user_id), {})[conversation.id] = conversation
        self.interactions.extend(conversation.interactions)
        if conversation.finished_ms is None:
            self._unfinished[_lane(conversation)] = conversation

    # Turns -------------------------------------------------------------------------------------------------------

    def knows(self, turn: Turn) -> bool:
        """True where the turn still has a conversation (a reset takes it away)."""
        return self.conversations.get(turn.conversation.id) is turn.conversation

    def begin(self, turn: Turn) -> None:
        """Locks the conversation for the stream; a new one becomes visible, empty."""
        if turn.starts_conversation:
            self._index(turn.conversation)
            self.save(turn.conversation)
        self.begun_turns += 1
        self._streaming[turn.conversation.id] = turn

    def streaming(self, conversation: Conversation) -> bool:
        return conversation.id in self._streaming

    def commit(self, turn: Turn) -> None:
        """Makes the turn's messages part of the conversation; the lock stays until ``release``."""
        conversation, interaction = turn.conversation, turn.interaction
        agent_ms = max(self._clock.now_ms(), conversation.last_ms + 1, *(m.created_ms + 1 for m in turn.messages[:-1]))
        turn.messages[-1].created_ms = interaction.committed_ms = agent_ms
        conversation.messages.extend(turn.messages)
        conversation.interactions.append(interaction)
        self.interactions.append(interaction)
        if interaction.completed:
            self.finish(conversation)
        else:
            self.save(conversation)

    def void(self, turn: Turn, *, keep_conversation: bool = False) -> None:
        """Forgets the turn, and the conversation that it would have started."""
        if turn.starts_conversation and not turn.conversation.messages and not keep_conversation:
            self.drop(turn.conversation)
        self.release(turn)

    def release(self, turn: Turn) -> None:
        """Frees the conversation, unless another turn already has it."""
        if self._streaming.get(turn.conversation.id) is turn:
            del self._streaming[turn.conversation.id]

    # Users, webhooks ---------------------------------------------------------------------------------------------

    def save_user(self, user: User) -> None:
        self.users[user.org_id, user.user_id] = user
        self._file.put("users", f"{user.org_id}/{user.user_id}", user)

    def drop_user(self, user: User) -> None:
        """Deletes a user for good: nobody of this id is known, invented or listed any more."""
        identity = (user.org_id, user.user_id)
        self.users.pop(identity, None)
        self.deleted_users.add(identity)
        self._file.put("users", "/".join(identity), None)
        self._file.put("deleted_users", "/".join(identity), identity)

    def save_destination(self, destination: Destination) -> None:
        self.destinations[destination.id] = destination
        self._file.put("destinations", destination.id, destination)

    def drop_destination(self, destination: Destination) -> None:
        self.destinations.pop(destination.id, None)
        self._file.put("destinations", destination.id, None)

    def save_delivery(self, delivery: Delivery) -> None:
        self.deliveries[delivery.id] = delivery
        self._file.put("deliveries", delivery.id, delivery)


def _lane(conversation: Conversation) -> tuple[str, str, str]:
    return conversation.org_id, conversation.user_id, conversation.service_id
