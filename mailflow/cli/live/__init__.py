"""`mailflow top`: the queue on a terminal, as it moves, with the usual acts at a key."""
