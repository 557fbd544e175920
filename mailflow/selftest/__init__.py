"""`mailflow selftest`: the real worker on an installation's own servers, broken at the points that it passes.

An undisturbed run records the points: the lines of IMAP and SMTP, which pass through proxies of ours. Then each run is
broken at one of them, or the worker is killed, or several work at once; what is left may be finished, undisturbed; and
what was sent decides what must have come of it. `mailflow.cli.selftest` is the command; `tests.faults`, which breaks
more than a server's surroundings, shares the proxy, the points and the lines.
"""
