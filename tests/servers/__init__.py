"""Real mail servers for the tests: started on free loopback ports in a temporary folder, stopped surely."""
