"""The program `elkapi-sim`: where it is. `python -m elkapi_sim` runs it."""

import os
import shutil
import sys
import sysconfig

__all__ = ["find"]

_NAME = "elkapi-sim.exe" if os.name == "nt" else "elkapi-sim"


def find() -> str:
    """The path of the program that this package has installed.

    Raises `FileNotFoundError` where there is none.
    """
    schemes = [None, sysconfig.get_preferred_scheme("user")]
    places = [
        sysconfig.get_path("scripts") if it is None else sysconfig.get_path("scripts", it) for it in schemes
    ]
    # Installed with `--target` or `--prefix`, the scripts lie beside or above the package.
    package = os.path.dirname(os.path.abspath(__file__))
    places.append(os.path.join(os.path.dirname(package), "bin"))
    places.append(os.path.join(sys.prefix, "bin"))
    for place in places:
        program = os.path.join(place, _NAME)
        if os.path.isfile(program):
            return program
    on_path = shutil.which(_NAME)
    if on_path is not None:
        return on_path
    raise FileNotFoundError(f"there is no {_NAME} in {', '.join(places)}; install elkapi-sim again")
