"""What docstrings say about functions and parameters, however they are written."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import pytest
from pydantic import Field

from headrace import Client, FastMCP
from headrace.components.docstrings import documented


def function(query: str, limit: int = 1) -> None: ...


GOOGLE = """Search the shelves.

    Slowly.

    Args:
        query: What to look for,
            in plain words
        limit (int, optional): How many. Defaults to 1.

    Returns:
        A list.
    """
NUMPY = """Search the shelves.

    Slowly.

    Parameters
    ----------
    query : str
        What to look for,
        in plain words
    limit : int, optional
        How many. Defaults to 1.

    Returns
    -------
    list
    """
SPHINX = """Search the shelves.

    Slowly.

    :param query: What to look for,
        in plain words
    :param int limit: How many. Defaults to 1.
    :returns: A list.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_styles(text: str) -> None:
    function.__doc__ = text
    assert documented(function) == (
        "Search the shelves.\n\nSlowly.",
        {"query": "What to look for,\nin plain words", "limit": "How many. Defaults to 1."},
    )


@pytest.mark.parametrize(
    ("text", "description", "parameters"),
    [
        (None, None, {}),
        ("", None, {}),
        ("  \n ", None, {}),
        ("Just prose: with a colon.\n\nAnd more", "Just prose: with a colon.\n\nAnd more", {}),
        ("One\ntwo\n\nArgs:\n    query: x", "One\ntwo", {"query": "x"}),
        ("\n    Args:\n        query: x\n    ", None, {"query": "x"}),
        ("Says\n\nArgs:\n    *query: x\n    **limit: y", "Says", {"query": "x", "limit": "y"}),
        ("Says\n\nReturns:\n    x", "Says", {}),
        ("Says\n\nArgs: inline", "Says\n\nArgs: inline", {}),
        # The parser's own errors, and those that it does not know of
        ("Says\n\nArgs:\n    x", "Says\n\nArgs:\n    x", {}),
        (":param", ":param", {}),
        (":param x", ":param x", {}),
        ("-----\n:\n  :\n\n:type x: int\nParameters\n.. deprecated:: 1\nReturns:", "-----\n:\n", {}),
    ],
)
def test_odd_docstrings(text: str | None, description: str | None, parameters: dict[str, str]) -> None:
    function.__doc__ = text
    found = documented(function)
    assert (found.description or "").startswith(description or "")
    assert (found.description is None) is (description is None)
    assert found.parameters == parameters
    assert FastMCP(tools=[function]).tools.get("function")


class Callee:
    """A searcher."""

    def __call__(self, query: str) -> str:
        """Calls.

        Args:
            query: From the call.
        """
        return query

    def method(self, query: str) -> str:
        """A method.

        Args:
            query: Of the method.
        """
        return query


class Silent:
    def __call__(self, query: str) -> str:
        """Calls."""
        return query


class Nothing:
    def __call__(self, query: str) -> str:
        return query


@pytest.mark.parametrize(
    ("function", "description", "text"),
    [
        (Callee(), "A searcher.", "From the call."),
        (functools.partial(Callee()), "A searcher.", "From the call."),
        (Callee().method, "A method.", "Of the method."),
        (functools.partial(Callee().method), "A method.", "Of the method."),
        (Silent(), "Calls.", None),
        (Nothing(), None, None),
        (lambda query: query, None, None),
    ],
)
async def test_what_clients_read(function: Any, description: str | None, text: str | None) -> None:
    mcp = FastMCP()
    mcp.tool("t")(function)
    mcp.prompt("p")(function)
    async with Client(mcp) as client:
        tool, prompt = (await client.list_tools())[0], (await client.list_prompts())[0]
    assert (tool.description, prompt.description) == (description, description)
    assert tool.input_schema["properties"]["query"].get("description") == text
    assert (prompt.arguments or [])[0].description == text


async def test_who_decides() -> None:
    """An explicit text, else that of `Field`, else of the annotation, else of the docstring."""
    mcp = FastMCP()

    @mcp.tool(description="Given")
    def search(
        a: Annotated[str, Field(description="field")],
        b: Annotated[str, "annotated"],
        c: str = Field("x", description="default"),
        d: str = "",
    ) -> None:
        """Not this.

        Args:
            a: docstring
            b: docstring
            c: docstring
            d: docstring
            e: of nobody
        """

    async with Client(mcp) as client:
        tool = (await client.list_tools())[0]
    assert tool.description == "Given"
    texts = {name: each["description"] for name, each in tool.input_schema["properties"].items()}
    assert texts == {"a": "field", "b": "annotated", "c": "default", "d": "docstring"}


async def test_resources_keep_their_docstring() -> None:
    mcp = FastMCP()

    @mcp.resource("data://{a}")
    def read(a: str) -> str:
        """Reads."""
        return a

    async with Client(mcp) as client:
        assert (await client.list_resource_templates())[0].description == "Reads."
