"""The reconciliation: mailboxes, register and counters held against one another, and every difference by its name."""
