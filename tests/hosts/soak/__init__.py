"""A soak: mails by the ten thousand, hostile ones and repeated ones among them, while the servers are restarted.

`python -m tests.hosts.soak` plays it and judges what came of every mail, how long it took, and whether the workers'
memory and descriptors stayed what they were. What was sent decides, never what the register says.
"""
