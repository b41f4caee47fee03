"""Ends a program that reads standard input by SIGABRT, and prints what it says.

Usage: crash.py program arguments...
"""

import pathlib
import signal
import subprocess
import sys
import time


def catches(pid, number):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (number - 1) & 1


program = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
)
while not catches(program.pid, signal.SIGABRT):
    time.sleep(0.01)
program.send_signal(signal.SIGABRT)
_, said = program.communicate()
print(said)
sys.exit(0 if program.returncode == -signal.SIGABRT else 1)
