"""mailflow: a register of social-housing requests whose main door is signed mail."""

__version__ = "0.1.0"
