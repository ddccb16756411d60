"""What bench/c/picture.c does, through the Python module: `picture.py BASE_URL FILE`."""

import sys

import elkapi

KEY = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567"


def status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    base_url, file = sys.argv[1:]
    client = elkapi.Client(base_url=base_url, api_key=KEY, environment=False)
    client.ask("Hi")
    before = status("VmRSS")
    answer = client.chat_completions(
        {
            "model": "image",
            "messages": [{"role": "user", "content": "Hi"}],
            "sim": {"bytes": 20_000_000},
        }
    )
    answer.images[0].save(file)
    peak = status("VmHWM") - before
    # Only now: it may be a copy.
    print(peak, len(answer.raw))


if __name__ == "__main__":
    main()
