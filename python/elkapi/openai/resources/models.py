"""`client.models`: the list of models, and one of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import elkapi
from elkapi.openai._raw import LegacyAPIResponse
from elkapi.openai._request import EXTRAS, check_names
from elkapi.openai._told import told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from typing import Unpack

    from elkapi.openai._client import AsyncOpenAI, OpenAI
    from elkapi.openai._params import Extras


class Page:
    """A list that came as one page: `data`, and iteration over it. The document's other members by name."""

    def __init__(self, document: elkapi.Document) -> None:
        self._document = document

    @property
    def data(self) -> list[elkapi.Node]:
        """The entries."""
        return self._document.get("data") or []

    def __iter__(self) -> Iterator[elkapi.Node]:
        return iter(self.data)

    async def __aiter__(self) -> AsyncIterator[elkapi.Node]:
        for entry in self.data:
            yield entry

    def has_next_page(self) -> bool:
        """False: the gateway's lists have one page."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_document":
            raise AttributeError(name)
        return getattr(self._document, name)

    def __repr__(self) -> str:
        return f"Page(data={self.data!r})"


SyncPage = AsyncPage = Page


def _path(model: str) -> str:
    if not model:
        raise ValueError(f"Expected a non-empty value for `model` but received {model!r}")
    from urllib.parse import quote

    return f"/models/{quote(model, safe='')}"


class Models:
    """`client.models`."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def list(self, **options: Unpack[Extras]) -> Page:
        """All models, as a page.

        Raises a class of `elkapi.APIError` for whatever a call can end with.
        """
        return self._list(options).parse()  # type: ignore[no-any-return]

    def retrieve(self, model: str, **options: Unpack[Extras]) -> elkapi.Document:
        """One model by its name.

        Raises a class of `elkapi.APIError` for whatever a call can end with.
        """
        return self._retrieve(model, options).parse()  # type: ignore[no-any-return]

    def _list(self, options: Any) -> LegacyAPIResponse[Page]:
        raw = self._get("Models.list", "/models", options)
        return LegacyAPIResponse(Page(raw.parse()), raw.http_request)

    def _retrieve(self, model: str, options: Any) -> LegacyAPIResponse[elkapi.Document]:
        return self._get("Models.retrieve", _path(model), options)

    def _get(self, function: str, path: str, options: Any) -> LegacyAPIResponse[elkapi.Document]:
        check_names(function, options, EXTRAS)
        call = self._client._call("GET", path, options)
        try:
            document = self._client._native._get(path, **call.arguments)
        except elkapi.Error as error:
            raise told(error, call.request)  # noqa: B904 - it is the same error
        return LegacyAPIResponse(document, call.request)

    @cached_property
    def with_raw_response(self) -> ModelsWithRawResponse:
        """The same calls, which give status and header fields too."""
        return ModelsWithRawResponse(self)


class ModelsWithRawResponse:
    """`client.models.with_raw_response`."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def list(self, **options: Unpack[Extras]) -> LegacyAPIResponse[Page]:
        """As `client.models.list`."""
        return self._models._list(options)

    def retrieve(self, model: str, **options: Unpack[Extras]) -> LegacyAPIResponse[elkapi.Document]:
        """As `client.models.retrieve`."""
        return self._models._retrieve(model, options)


class AsyncPaginator:
    """A list that is asked for when it is awaited, or iterated over with `async for`."""

    def __init__(self, models: AsyncModels, options: Any) -> None:
        self._models = models
        self._options = options

    def __await__(self) -> Generator[Any, Any, Page]:
        return self._page().__await__()

    async def _page(self) -> Page:
        return (await self._models._list(self._options)).parse()  # type: ignore[no-any-return]

    async def __aiter__(self) -> AsyncIterator[elkapi.Node]:
        for entry in (await self._page()).data:
            yield entry


class AsyncModels:
    """`client.models`, asynchronously."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    def list(self, **options: Unpack[Extras]) -> AsyncPaginator:
        """All models: to be awaited, or iterated over with `async for`.

        Raises a class of `elkapi.APIError` for whatever a call can end with.
        """
        check_names("AsyncModels.list", options, EXTRAS)
        return AsyncPaginator(self, options)

    async def retrieve(self, model: str, **options: Unpack[Extras]) -> elkapi.Document:
        """One model by its name.

        Raises a class of `elkapi.APIError` for whatever a call can end with.
        """
        return (await self._retrieve(model, options)).parse()  # type: ignore[no-any-return]

    async def _list(self, options: Any) -> LegacyAPIResponse[Page]:
        raw = await self._get("AsyncModels.list", "/models", options)
        return LegacyAPIResponse(Page(raw.parse()), raw.http_request)

    async def _retrieve(self, model: str, options: Any) -> LegacyAPIResponse[elkapi.Document]:
        return await self._get("AsyncModels.retrieve", _path(model), options)

    async def _get(self, function: str, path: str, options: Any) -> LegacyAPIResponse[elkapi.Document]:
        check_names(function, options, EXTRAS)
        call = await self._client._call("GET", path, options)
        try:
            document = await self._client._native._whole("_get", path, call.arguments)
        except elkapi.Error as error:
            raise told(error, call.request)  # noqa: B904 - it is the same error
        return LegacyAPIResponse(document, call.request)

    @cached_property
    def with_raw_response(self) -> AsyncModelsWithRawResponse:
        """The same calls, which give status and header fields too."""
        return AsyncModelsWithRawResponse(self)


class AsyncModelsWithRawResponse:
    """`client.models.with_raw_response`, asynchronously."""

    def __init__(self, models: AsyncModels) -> None:
        self._models = models

    async def list(self, **options: Unpack[Extras]) -> LegacyAPIResponse[Page]:
        """As `client.models.list`."""
        return await self._models._list(options)

    async def retrieve(self, model: str, **options: Unpack[Extras]) -> LegacyAPIResponse[elkapi.Document]:
        """As `client.models.retrieve`."""
        return await self._models._retrieve(model, options)
