"""Runs Postgres and ends it when its launcher ends, however that ends.

A program of its own, started by :mod:`local.postgres`: ``postgres_guard.py OWNER_UID OWNER_GID LOG postgres ARGS…``.
Its standard input is a pipe that the launcher holds: end of file, also after ``kill -9`` of the launcher, makes it shut
Postgres down. Should the guard itself be killed, Linux tells Postgres (``PR_SET_PDEATHSIG``).

Postgres refuses to run as root. Started by root it therefore runs as the owner of its data directory, and keeps one
capability, to reach programs and data below directories that only root may enter, such as root's home.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

#: Postgres's "fast shutdown": roll back, disconnect everybody, checkpoint.
FAST_SHUTDOWN = signal.SIGINT
#: Postgres's "immediate shutdown", after which the next start recovers from the log.
IMMEDIATE_SHUTDOWN = signal.SIGQUIT
FAST_SHUTDOWN_TIMEOUT_MS = 10_000

# linux/prctl.h, linux/capability.h
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def become(uid: int, gid: int) -> None:
    """Turn the running process, started by root, into ``uid`` that may still enter every directory.

    Args:
        uid: numeric user.
        gid: numeric group.

    Raises:
        OSError: the system does not allow it.
    """
    linux = sys.platform.startswith("linux")
    libc = ctypes.CDLL(None, use_errno=True)
    if linux:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if linux:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        mask = 1 << CAP_DAC_OVERRIDE
        data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; high words
        # Where this fails, ordinary permissions decide what Postgres can reach.
        if libc.capset(header, data) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def _prepare(uid: int, gid: int) -> None:
    """Between fork and exec of Postgres."""
    if os.geteuid() == 0:
        become(uid, gid)
    if sys.platform.startswith("linux"):
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(FAST_SHUTDOWN), 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Run Postgres until it ends by itself or standard input does; return its exit code."""
    uid, gid, log_path, *command = arguments
    with open(log_path, "ab") as log:
        postgres = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _prepare(int(uid), int(gid)),  # safe: no thread is running yet
        )
    print(postgres.pid, flush=True)

    def shut_down() -> None:
        postgres.send_signal(FAST_SHUTDOWN)
        try:
            postgres.wait(FAST_SHUTDOWN_TIMEOUT_MS / 1000)
        except subprocess.TimeoutExpired:
            postgres.send_signal(IMMEDIATE_SHUTDOWN)

    def watch_launcher() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        shut_down()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        postgres.send_signal(FAST_SHUTDOWN)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    threading.Thread(target=watch_launcher, daemon=True).start()
    return postgres.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
