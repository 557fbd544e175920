"""The benchmark: how fast, how much, how soon, on real servers and the real worker. `python -m bench`."""
