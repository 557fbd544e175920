"""How long uniqueness takes in a register of five million requests, and whether it misses nobody there."""
