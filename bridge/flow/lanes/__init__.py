"""The events in hand: their lanes, their order, and how long they wait."""
