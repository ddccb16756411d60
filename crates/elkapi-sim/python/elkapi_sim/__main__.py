"""`python -m elkapi_sim`: the program itself, in this process' place."""

import os
import sys

from elkapi_sim import find

if __name__ == "__main__":
    program = find()
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call([program, *sys.argv[1:]]))
    os.execv(program, [program, *sys.argv[1:]])
