"""How long to wait before trying again."""


def delay(attempt: int, *, first: float, most: float, spread: float, jitter: float) -> float:
    """Seconds before the next try after `attempt` failures in a row (1 or more), doubled from `first` to `most`.

    `jitter`, a number from 0 to 1 that the caller draws, takes off up to the part `spread` (0 to 1) of it,
    so that many clients do not come back at the same moment.
    """
    doubled = first * 2.0 ** min(attempt - 1, 60)
    return min(doubled, most) * (1.0 - spread * jitter)
