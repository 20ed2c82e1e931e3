"""The Amigo API: sign-in per user, calls with their errors translated, streams as chunks of bytes."""
