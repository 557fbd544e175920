"""Stories that each provoke one anomaly, through the real worker: what desks send, and what they are told."""
