"""How does a child die with its parent?

Run as a script, it ties itself to its parent and then becomes the command. A script of its own
and not a `preexec_fn`: that runs Python between fork and exec, which can hang when the parent
has threads.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def _drop_to(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _tie(death_signal: int, parent: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    # The parent may have died before the tie was made; then no signal would ever come.
    if parent and os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Arguments: death signal or 0, parent's process id or 0, user or "-", then the command."""
    death_signal, parent, user, *command = arguments
    if user != "-":
        _drop_to(user)
    # A change of user clears the tie, so it comes after.
    if int(death_signal):
        _tie(int(death_signal), int(parent))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
