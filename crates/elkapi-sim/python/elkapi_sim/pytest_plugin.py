"""The fixture `elkapi_sim`: a gateway on loopback for one test, told what to answer.

Needs the package `elkapi`, which is imported only where the fixture is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from elkapi.testing import Gateway, Simulator


@pytest.fixture(scope="session")
def elkapi_simulator() -> "Iterator[Simulator]":
    """The running program, one for all tests of the session."""
    from elkapi.testing import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def elkapi_sim(elkapi_simulator: "Simulator") -> "Gateway":
    """The gateway as this test sees it: its answers and its requests are its own."""
    return elkapi_simulator.gateway()
