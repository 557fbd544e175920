"""The operator's and the desk's commands, one small file per group."""
