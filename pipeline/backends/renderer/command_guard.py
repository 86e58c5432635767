"""Runs a program that must not outlive us: `python command_guard.py PROGRAM ARGUMENTS...`, standard library alone.

Standard input is a pipe that the parent holds open. When it ends, however the parent died, the program goes with all
its process group. Ends with the program's exit code; 127 when there is no such program.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as fault:
        print(f"{sys.argv[1]}: {fault.strerror}", file=sys.stderr)
        return 127

    def end_with_parent() -> None:
        while os.read(0, 1024):
            pass
        kill()

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, kill)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which closes the pipe
    threading.Thread(target=end_with_parent, daemon=True).start()
    code = child.wait()
    kill()  # what it left running
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
