"""The agent's answers: what is said, in which steps it is played, and the faults that change them."""
