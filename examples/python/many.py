"""Asks many questions at once and prints each answer as soon as it is there."""

import asyncio
import sys

import elkapi

SEAS = ["Baltic Sea", "Coral Sea", "Sea of Japan", "Weddell Sea", "Aral Sea"]


async def describe(client: elkapi.AsyncClient, sea: str) -> None:
    answer = await client.ask(f"Describe the {sea} in one sentence.", timeout=60)
    print(f"{sea}: {answer.text}")


async def main() -> None:
    async with elkapi.AsyncClient(pacing=True) as client:  # ELKAPI_API_KEY
        await asyncio.gather(*(describe(client, sea) for sea in SEAS))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except elkapi.Error as error:
        sys.exit(str(error))
