"""The end of a delivery: messages seen to their confirms, copies, acks, and what the broker refuses."""
