"""Parameters that the framework fills: how factories are called, shared, closed, and what clients can't do to them."""

# ruff: noqa: B008 - dependencies are defaults

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from headrace import Client, Context, FastMCP
from headrace.dependencies import CurrentContext, CurrentFastMCP, CurrentHeaders, CurrentRequest, Depends, Progress
from headrace.exceptions import InvalidSignature, PromptError, ResourceError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("legacy", "modern")


def plain() -> int:
    return 7


async def awaited() -> int:
    return 7


@contextlib.contextmanager
def manager() -> Iterator[int]:
    yield 7


@contextlib.asynccontextmanager
async def async_manager() -> AsyncIterator[int]:
    yield 7


async def gives_a_manager() -> Any:
    return manager()


def generator() -> Iterator[int]:
    yield 7


async def async_generator() -> AsyncIterator[int]:
    yield 7


class Made:
    def __init__(self, base: int = Depends(plain)) -> None:
        self.base = base

    def __radd__(self, other: int) -> int:
        return other + self.base


class Callee:
    async def __call__(self, base: int = Depends(awaited)) -> int:
        return base


@dataclass
class Unhashable:
    value: int

    def __call__(self) -> int:
        return self.value


class Pool:
    """Awaitable and a context manager at once, as pools of connections are: it is entered, and so left."""

    left = 0

    def __await__(self) -> Any:
        raise AssertionError("entered instead")
        yield

    async def __aenter__(self) -> int:
        return 7

    async def __aexit__(self, *error: object) -> None:
        Pool.left += 1


def scaled(factor: int, base: int = Depends(plain)) -> int:
    return factor * base


FACTORIES: list[Callable[..., Any]] = [
    plain, awaited, manager, async_manager, gives_a_manager, generator, async_generator, Made, Callee(), Unhashable(7),
    Callee().__call__, functools.partial(scaled, 1), lambda: 7, lambda: awaited(), Pool,
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: getattr(factory, "__name__", type(factory).__name__))
async def test_kinds_of_factories(factory: Callable[..., Any], mode: Any) -> None:
    mcp = FastMCP()

    @mcp.tool
    async def add(a: int, b: Any = Depends(factory)) -> int:
        return a + b

    @mcp.tool
    def add_sync(a: int, *, b: Any = Depends(factory)) -> int:
        return a + b

    @mcp.prompt
    async def ask(a: int, b: Any = Depends(factory)) -> str:
        return str(a + b)

    @mcp.resource("data://{a}")
    async def read(a: int, b: Any = Depends(factory)) -> str:
        return str(a + b)

    @mcp.resource("data://one")
    def one(b: Any = Depends(factory)) -> str:
        return str(1 + b)

    async with Client(mcp, mode=mode) as client:
        for tool in await client.list_tools():
            assert list(tool.input_schema["properties"]) == ["a"]
            assert (await client.call_tool(tool.name, {"a": 1})).data == 8
        assert [each.name for each in (await client.list_prompts())[0].arguments or ()] == ["a"]
        assert (await client.get_prompt("ask", {"a": 1})).messages[0].content.text == "8"  # type: ignore[union-attr]
        assert (await client.read_resource("data://2"))[0].text == "9"
        assert (await client.read_resource("data://one"))[0].text == "8"


async def test_entered_rather_than_awaited() -> None:
    mcp = FastMCP()
    Pool.left = 0

    @mcp.tool
    async def use(a: int = Depends(Pool)) -> int:
        return a

    assert (await mcp.call_tool("use")).structured_content == {"result": 7}
    assert Pool.left == 1


class Steps:
    """What happened, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def opens(self, name: str, *needs: Any) -> Any:
        @contextlib.asynccontextmanager
        async def open_it(first: Any = needs[0] if needs else None) -> AsyncIterator[str]:
            self.log.append(f"open {name}")
            try:
                yield name
            except BaseException as error:
                self.log.append(f"{name} saw {type(error).__name__}")
                raise
            finally:
                self.log.append(f"close {name}")

        return open_it


async def test_made_once_per_call_and_closed_in_reverse() -> None:
    steps = Steps()
    pool = steps.opens("pool")
    session = steps.opens("session", Depends(pool))
    mcp = FastMCP()

    @mcp.tool
    async def work(a: str = Depends(session), b: str = Depends(pool), c: str = Depends(session)) -> str:
        steps.log.append("work")
        return a + b + c

    once = ["open pool", "open session", "work", "close session", "close pool"]
    async with Client(mcp) as client:
        for _ in range(2):
            assert (await client.call_tool("work")).data == "sessionpoolsession"
            assert steps.log == once
            steps.log.clear()
        await asyncio.gather(*(client.call_tool("work") for _ in range(5)))
        assert sorted(steps.log) == sorted(once * 5)


@pytest.mark.parametrize("mode", MODES)
async def test_generators_end_before_their_dependencies(mode: Any) -> None:
    steps = Steps()
    mcp = FastMCP()
    pool = steps.opens("pool")

    def sync(a: str = Depends(pool)) -> Iterator[int]:
        for number in range(3):
            steps.log.append(str(number))
            yield number

    async def asynchronous(a: str = Depends(pool)) -> AsyncIterator[int]:
        for number in range(3):
            steps.log.append(str(number))
            yield number

    for name, function in (("sync", sync), ("async", asynchronous)):
        function.__annotations__["return"] = list[int]  # the list's schema, which type checkers refuse on a generator
        mcp.tool(name)(function)

    @mcp.prompt
    def ask(a: str = Depends(pool)):  # type: ignore[no-untyped-def]
        yield "one"
        yield "two"

    async with Client(mcp, mode=mode) as client:
        for name in ("sync", "async"):
            assert (await client.call_tool(name)).data == [0, 1, 2]
            assert steps.log == ["open pool", "0", "1", "2", "close pool"]
            steps.log.clear()
        assert len((await client.get_prompt("ask")).messages) == 2


async def test_use_cache() -> None:
    made: list[int] = []

    def count() -> int:
        made.append(1)
        return len(made)

    mcp = FastMCP()

    @mcp.tool
    def look(
        a: int = Depends(count),
        b: int = Depends(count),
        c: int = Depends(count, use_cache=False),
        d: int = Depends(count, use_cache=False),
    ) -> list[int]:
        return [a, b, c, d]

    assert (await mcp.call_tool("look")).structured_content == {"result": [1, 1, 2, 3]}


async def test_methods_of_equal_objects_are_one_factory() -> None:
    made: list[int] = []

    class Store:
        def get(self) -> int:
            made.append(1)
            return len(made)

    store = Store()
    mcp = FastMCP()

    @mcp.tool
    def look(a: int = Depends(store.get), b: int = Depends(store.get)) -> list[int]:
        return [a, b]

    assert (await mcp.call_tool("look")).structured_content == {"result": [1, 1]}


def fails() -> int:
    raise ValueError("no database")


def refuses() -> int:
    raise ToolError("for the model")


@contextlib.asynccontextmanager
async def fails_at_the_end() -> AsyncIterator[int]:
    yield 1
    raise ValueError("lost")


@contextlib.asynccontextmanager
async def swallows() -> AsyncIterator[int]:
    with contextlib.suppress(ValueError):
        yield 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("factory", "text", "seen"),
    [
        (fails, "Error calling tool 'work': no database", ["pool saw ValueError"]),
        (refuses, "for the model", ["pool saw ToolError"]),
        (fails_at_the_end, "Error calling tool 'work': lost", ["pool saw ValueError"]),
        (swallows, "Error calling tool 'work': inside", []),  # and the call fails nevertheless
    ],
)
async def test_failing_factories_close_what_is_open(factory: Any, text: str, seen: list[str], mode: Any) -> None:
    steps = Steps()
    mcp = FastMCP()

    @mcp.tool
    async def work(a: str = Depends(steps.opens("pool")), b: int = Depends(factory)) -> str:
        if factory is swallows:
            raise ValueError("inside")
        return "done"

    async with Client(mcp, mode=mode) as client:
        result = await client.call_tool("work", raise_on_error=False)
        assert (result.is_error, result.text) == (True, text)
        assert steps.log == ["open pool", *seen, "close pool"]


async def test_failing_factories_of_prompts_and_resources() -> None:
    mcp = FastMCP()

    @mcp.prompt
    def ask(a: int = Depends(fails)) -> str:
        return "x"

    @mcp.resource("data://x")
    def read(a: int = Depends(fails)) -> str:
        return "x"

    with pytest.raises(PromptError, match="no database"):
        await mcp.render_prompt("ask")
    with pytest.raises(ResourceError, match="no database"):
        await mcp.read_resource("data://x")


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_closes(mode: Any) -> None:
    steps = Steps()
    started, closed = asyncio.Event(), asyncio.Event()
    mcp = FastMCP()

    @contextlib.asynccontextmanager
    async def last() -> AsyncIterator[None]:
        try:
            yield
        finally:
            closed.set()

    @mcp.tool
    async def wait(b: None = Depends(last), a: str = Depends(steps.opens("pool"))) -> None:
        started.set()
        await asyncio.Event().wait()

    @mcp.tool
    async def quick(a: str = Depends(steps.opens("other"))) -> str:
        return a

    async with Client(mcp, mode=mode) as client:
        call = asyncio.ensure_future(client.call_tool("wait"))
        await asyncio.wait_for(started.wait(), 5)
        call.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        assert steps.log == ["open pool", "pool saw CancelledError", "close pool"]
        assert (await client.call_tool("quick")).data == "other"


async def test_a_timeout_closes() -> None:
    steps = Steps()
    mcp = FastMCP()

    @mcp.tool(timeout=0.02)
    async def wait(a: str = Depends(steps.opens("pool"))) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolError, match="timed out"):
        await mcp.call_tool("wait")
    assert steps.log == ["open pool", "pool saw CancelledError", "close pool"]


HAND: Mapping[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"input_schema": HAND}, {"strict": True}], ids=str)
@pytest.mark.parametrize("hidden", ["db", "ctx", "flag", "server", "progress"])
async def test_a_client_can_not_give_what_is_hidden(mode: Any, options: dict[str, Any], hidden: str) -> None:
    mcp = FastMCP()
    ran: list[Any] = []

    @mcp.tool(exclude_args=["flag"], **options)
    async def act(
        a: int,
        ctx: Context,
        db: int = Depends(plain),
        server: FastMCP = CurrentFastMCP(),
        progress: Progress = Progress(),
        flag: bool = False,
    ) -> int:
        ran.append((db, flag))
        return a

    async with Client(mcp, mode=mode) as client:
        assert (await client.call_tool("act", {"a": 1})).data == 1
        assert hidden not in (await client.list_tools())[0].input_schema["properties"]
        result = await client.call_tool("act", {"a": 1, hidden: 5}, raise_on_error=False)
        assert (result.is_error, result.text) == (
            True,
            f"Invalid arguments for tool 'act':\n{hidden}: no such argument",
        )
    assert ran == [(7, False)]


async def test_a_client_can_not_give_what_is_hidden_of_a_prompt_or_a_template() -> None:
    mcp = FastMCP()

    @mcp.prompt
    def ask(a: str, db: int = Depends(plain)) -> str:
        return a + str(db)

    with pytest.raises(InvalidSignature, match="db"):

        @mcp.resource("data://{a}/{db}")
        def read(a: str, db: int = Depends(plain)) -> str:
            return a

    async with Client(mcp) as client:
        with pytest.raises(Exception, match="db: no such argument"):
            await client.get_prompt("ask", {"a": "x", "db": "5"})


async def test_arguments_by_name_keep_any_name() -> None:
    """A function with ``**arguments`` and a schema by hand takes an argument of that name."""
    mcp = FastMCP()

    @mcp.tool(input_schema={"type": "object"})
    async def act(ctx: Context, **arguments: Any) -> dict[str, Any]:
        return arguments

    assert (await mcp.call_tool("act", {"arguments": 1, "b": 2})).structured_content == {"arguments": 1, "b": 2}


class Needs:
    def __init__(self, server: FastMCP = CurrentFastMCP(), ctx: Context = CurrentContext()) -> None:
        self.said = f"{server.name} {ctx.fastmcp.name}"


class ByAnnotation:
    def __init__(self, ctx: Context) -> None:
        self.said = ctx.fastmcp.name


class Calls:
    def __call__(self, ctx: Context) -> str:
        return ctx.fastmcp.name


async def test_the_call_itself() -> None:
    mcp = FastMCP("me")

    @mcp.tool
    async def look(
        optional: Context | None,
        a: Any = Depends(Needs),
        b: Any = Depends(ByAnnotation),
        c: Any = Depends(Calls()),
        headers: dict[str, str] = CurrentHeaders(),
        ctx: Context = CurrentContext(),
    ) -> list[Any]:
        assert ctx is optional
        return [a.said, b.said, c, headers]

    result: Any = await mcp.call_tool("look")
    assert result.content[0].text == '["me me","me","me",{}]'


async def test_annotated() -> None:
    mcp = FastMCP()

    @mcp.tool
    def look(a: Annotated[int, Depends(plain)], ctx: Annotated[Context, "the call"]) -> int:
        return a

    assert mcp.tools.get("look").parameters["properties"] == {}  # type: ignore[union-attr]
    assert (await mcp.call_tool("look")).structured_content == {"result": 7}


async def test_no_request() -> None:
    mcp = FastMCP()

    @mcp.tool
    async def look(request: Any = CurrentRequest()) -> str:
        return "never"

    with pytest.raises(ToolError, match="No active HTTP request found"):
        await mcp.call_tool("look")


def needs_a_value(value: int) -> int:
    return value


def one(b: int = 1) -> int:
    return b


def other(a: int = Depends(one)) -> int:
    return a


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (needs_a_value, "needs_a_value has a parameter that nothing fills: value"),
        (functools.partial(scaled), "nothing fills: factor"),
        (ByAnnotation.__init__, "nothing fills: self"),
    ],
)
def test_refused_at_registration(factory: Any, message: str) -> None:
    mcp = FastMCP()
    with pytest.raises(InvalidSignature, match=message):

        @mcp.tool
        def look(a: int = Depends(factory)) -> int:
            return a

    assert len(mcp.tools) == 0


def test_a_circle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one, "__defaults__", (Depends(other),))
    with pytest.raises(InvalidSignature, match=r"need each other: other -> one -> other"):
        FastMCP().tool(lambda a=Depends(other): a, name="look")  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", MODES)
async def test_progress(mode: Any) -> None:
    mcp = FastMCP()
    heard: list[Any] = []

    @mcp.tool
    async def work(progress: Progress = Progress()) -> int | float | None:
        await progress.set_total(3)
        await progress.increment()
        await progress.set_message("half")
        await progress.increment(2)
        for wrong in (progress.set_total, progress.increment):
            with pytest.raises(ValueError, match="at least 1"):
                await wrong(0)
        return progress.current

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with Client(mcp, mode=mode) as client:
        for _ in range(2):  # what one call counted is not there in the next
            assert (await client.call_tool("work", progress_handler=hear)).data == 3
    assert heard == [(1, 3, None), (3, 3, "half")] * 2
