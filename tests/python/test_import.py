"""Importing elkapi loads the extension, and does nothing else."""

import subprocess
import sys

ALLOWED = {"elkapi", "elkapi._elkapi"}


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_import_loads_only_the_extension() -> None:
    code = "import sys; before = set(sys.modules); import elkapi; print(*(set(sys.modules) - before))"
    assert set(_run(code).split()) == ALLOWED


def test_the_look_alike_loads_no_package_of_others() -> None:
    code = (
        "import sys, elkapi; loaded = set(sys.modules); elkapi.OpenAI, elkapi.AsyncOpenAI\n"
        "more = {name.partition('.')[0] for name in set(sys.modules) - loaded}\n"
        "print('elkapi.openai' in loaded, sorted(more & {'asyncio', 'httpx2', 'openai', 'pydantic'}))"
    )
    assert _run(code) == "False []\n"


def test_import_takes_a_few_milliseconds() -> None:
    code = "import time; start = time.perf_counter(); import elkapi; print(time.perf_counter() - start)"
    # 5 ms without compiled bytecode, under 2 ms with it; ten times that is still a regression to see.
    assert min(float(_run(code)) for _ in range(5)) < 0.05


def test_import_starts_no_thread_and_reads_no_environment() -> None:
    code = (
        "import os, sys; seen = []; get = type(os.environ).__getitem__\n"
        "type(os.environ).__getitem__ = lambda self, name: (seen.append(name), get(self, name))[1]\n"
        "import elkapi; print(len(os.listdir('/proc/self/task')), [n for n in seen if 'ELK' in n])"
    )
    assert _run(code) == "1 []\n"


def test_a_client_loads_the_errors_and_a_call_no_module_more() -> None:
    code = (
        "import sys, elkapi; before = set(sys.modules)\n"
        "options = dict(api_key='k', environment=False, max_retries=0)\n"
        "client = elkapi.Client(base_url='http://127.0.0.1:1', **options)\n"
        "print(sorted(set(sys.modules) - before)); before = set(sys.modules)\n"
        "try: client.ask('Hi')\n"
        "except elkapi.APIConnectionError as error: repr(error)\n"
        "print(sorted(set(sys.modules) - before))"
    )
    assert _run(code) == "['elkapi._errors']\n[]\n"


def test_the_version_is_that_of_the_distribution() -> None:
    code = "import elkapi, importlib.metadata as m; print(elkapi.__version__ == m.version('elkapi'))"
    assert _run(code) == "True\n"


def test_whatever_is_loaded_later_is_found() -> None:
    code = (
        "import elkapi\n"
        "class Own(elkapi.RateLimitError): pass\n"
        "print([name for name in elkapi.__all__ if getattr(elkapi, name, elkapi) is elkapi])\n"
        "print(issubclass(Own, elkapi.Error), hasattr(elkapi, '_error_of'), hasattr(elkapi, 'Any'))\n"
        "from elkapi import *; from elkapi import TruncatedError as T; print(T is TruncatedError)"
    )
    assert _run(code) == "[]\nTrue False False\nTrue\n"


def test_completion_knows_what_is_loaded_later() -> None:
    code = "import elkapi; print(set(elkapi.__all__) - set(dir(elkapi)), 'TYPE_CHECKING' in dir(elkapi))"
    assert _run(code) == "set() False\n"
