"""One log line for each transition: `key=value` pairs that identify, never content, names or addresses."""
