"""The host agent: the only code that changes a host. docs/agent.md describes its protocol and what it leaves on disk.

The controller sends these modules over a connection, in one piece, and the host's python3 runs them from memory; nothing is
installed. They need Python 3.8 and the standard library. Requests are JSON lines on standard input, answers and events JSON
lines on standard output.

Two rules hold everywhere. A change is made aside, flushed and renamed into place, so that being killed at any point leaves
either the old state or the new one. And whatever is slow to import, and each module that only some verbs need, is imported
where it is used, because a rollback to a slot that still runs should cost little more than the start of the interpreter.
"""

VERSION = 1
