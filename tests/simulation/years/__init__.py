"""Two simulated years of a register: what desks send and what time does, held against the law by an oracle."""
