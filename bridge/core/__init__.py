"""Values and decisions: no async, no clock, no dice, no logging, no I/O."""
