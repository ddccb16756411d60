"""requests: one session for all calls."""

import requests
from common import CA, KEY, REQUEST, SCENARIO, STREAM, URL, answer, event_line, run


def session() -> requests.Session:
    new = requests.Session()
    new.headers["Authorization"] = f"Bearer {KEY}"
    new.verify = CA or True
    new.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    return new


client = session()


def response(own: requests.Session) -> requests.Response:
    reply = own.post(URL, json=REQUEST, stream=STREAM)
    reply.raise_for_status()
    return reply


def whole() -> int:
    return answer(response(client).json())


def whole_of_a_new_session() -> int:
    with session() as own:
        return answer(response(own).json())


def streamed() -> int:
    # Its default of 512 bytes takes whole lines out of a stream, but one that waits would be handed out late.
    return sum(event_line(line) for line in response(client).iter_lines(chunk_size=None))


run(whole_of_a_new_session if SCENARIO == "cold" else whole, streamed)
