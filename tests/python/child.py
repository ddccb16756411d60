"""What a child process does with the clients that it is given: one call of each."""

import asyncio

import elkapi


def calls(client: elkapi.Client, asynchronous: elkapi.AsyncClient) -> None:
    assert client.ask("Hello").text
    assert asyncio.run(asynchronous.chat_completions({"contents": ["Hello"]})).text
