"""Ask for data: a pydantic model says what, and reads it. The key comes from ELKAPI_API_KEY."""

import sys

import elkapi
import pydantic

QUESTION = " ".join(sys.argv[1:]) or "Which is the largest city of the world?"


class City(pydantic.BaseModel):
    city: str
    country: str
    inhabitants: int = pydantic.Field(description="In the city itself")


try:
    with elkapi.Client(timeout=120) as client:
        city = client.ask(QUESTION, response_format=City).parse(City)
except elkapi.Error as error:
    sys.exit(f"{error.kind}: {error}")
except pydantic.ValidationError as error:
    sys.exit(f"The model wrote something else: {error}")

print(f"{city.city} in {city.country} has {city.inhabitants} inhabitants")
