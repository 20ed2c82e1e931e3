"""Publishing: the window of unconfirmed messages, frames, confirms, and the three who publish through it."""
