"""pycurl: one handle for all calls, the reply in a buffer, read by the json module; CurlMulti for many."""

import json
from io import BytesIO

import pycurl
from common import AT_ONCE, CA, KEY, REQUEST, SCENARIO, URL, Lines, answer, at_once, run


def handle() -> pycurl.Curl:
    new = pycurl.Curl()
    new.setopt(pycurl.URL, URL)
    # A request beyond 1 MiB would wait for the server's consent first.
    new.setopt(
        pycurl.HTTPHEADER, [f"Authorization: Bearer {KEY}", "Content-Type: application/json", "Expect:"]
    )
    if CA:
        new.setopt(pycurl.CAINFO, CA)
    if SCENARIO == "resumed":
        new.setopt(pycurl.FORBID_REUSE, 1)
    return new


curl = handle()


def prepare(own: pycurl.Curl) -> BytesIO:
    buffer = BytesIO()
    own.setopt(pycurl.POSTFIELDS, json.dumps(REQUEST))
    own.setopt(pycurl.WRITEDATA, buffer)
    return buffer


def read(own: pycurl.Curl, buffer: BytesIO) -> int:
    assert own.getinfo(pycurl.RESPONSE_CODE) == 200
    return answer(json.loads(buffer.getvalue()))


def whole() -> int:
    buffer = prepare(curl)
    curl.perform()
    return read(curl, buffer)


def whole_of_a_new_handle() -> int:
    own = handle()
    buffer = prepare(own)
    own.perform()
    taken = read(own, buffer)
    own.close()
    return taken


def streamed() -> int:
    lines = Lines()
    curl.setopt(pycurl.POSTFIELDS, json.dumps(REQUEST))
    curl.setopt(pycurl.WRITEFUNCTION, lines.take)
    curl.perform()
    assert curl.getinfo(pycurl.RESPONSE_CODE) == 200
    return lines.read


def many(calls: int) -> int:
    begun = ended = taken = 0
    buffers: dict[pycurl.Curl, BytesIO] = {}
    free = list(handles)
    while ended < calls:
        while free and begun < calls:
            own = free.pop()
            buffers[own] = prepare(own)
            multi.add_handle(own)
            begun += 1
        multi.perform()
        left = 1
        while left:
            left, good, bad = multi.info_read()
            assert not bad, bad
            for own in good:
                taken += read(own, buffers.pop(own))
                multi.remove_handle(own)
                free.append(own)
                ended += 1
        if not free:
            multi.select(1.0)
    return taken


if SCENARIO == "many":
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAXCONNECTS, AT_ONCE)
    handles = [handle() for _ in range(AT_ONCE)]
    at_once(many)
else:
    run(whole_of_a_new_handle if SCENARIO == "cold" else whole, streamed)
