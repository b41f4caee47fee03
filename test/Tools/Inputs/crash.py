"""Ends a program that reads standard input by SIGABRT, and prints what it says.

Usage: crash.py program arguments...
"""

import pathlib
import signal
import subprocess
import sys
import time


def waits(pid, number):
    """Whether a process catches a signal, and has come to wait for its input."""
    status = dict(
        line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(status["SigCgt"], 16) >> (number - 1) & 1 and status["State"].split()[0] == "S"


program = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
)
while not waits(program.pid, signal.SIGABRT):
    time.sleep(0.01)
program.send_signal(signal.SIGABRT)
_, said = program.communicate()
print(said)
sys.exit(0 if program.returncode == -signal.SIGABRT else 1)
