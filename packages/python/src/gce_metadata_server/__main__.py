"""`python -m gce_metadata_server` runs the program."""

import os
import subprocess
import sys

from ._binary import NAME, BinaryNotFoundError, find_binary


def main() -> None:
    """Runs the program with the arguments of this process."""
    try:
        binary = find_binary()
    except BinaryNotFoundError as error:
        sys.exit(f"error: {error}")
    if os.name == "nt":
        # Windows can't replace a process.
        sys.exit(subprocess.run([binary, *sys.argv[1:]]).returncode)
    # The program replaces Python, so that it gets all signals.
    os.execv(binary, [NAME, *sys.argv[1:]])


if __name__ == "__main__":
    main()
