"""The vocabulary and the rules. Pure: imports nothing of ours but `errors`, reads no clock and no settings."""
