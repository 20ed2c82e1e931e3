"""The orchestration: asyncio over the ports that core's decisions need."""
