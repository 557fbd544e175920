"""Planted changes in the modules that decide who may register: does a test see each of them? `make mutation`.

`operators` makes the changes, `planting` puts one into a running process, `survey` finds which tests run which line,
`trying` runs them, `report` writes `docs/mutation.md`. Own code, because the libraries do not fit what is measured:
mutmut leaves out decorated functions (properties, context managers, what is cached) and collects the tests anew for
each change; cosmic-ray starts a process that imports everything for each. Here a change is a fork of a process that has
all tests in memory and their keys made, and only tests that run the changed line are tried: a quarter of a second.
"""
