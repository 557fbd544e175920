"""The sweep: the real worker on real servers, broken at every point that it passes, one run each.

A fault-free pass records the points; each kind of fault says what can go wrong at its points; every run breaks one of
them, or another one while it recovers from the first. `tests.support.letters` knows what must have come of the mails.
`python -m tests.faults --help` is the whole of it, `tests/integration/test_faults.py` a thin selection.
"""
