"""The throw-away world of `make demo`: nothing here is part of a production installation."""
