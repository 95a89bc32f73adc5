"""Parameters that the framework fills: ``db = Depends(get_db)``, ``ctx: Context = CurrentContext()`` and the like.

They are defaults (or stand in ``Annotated[...]``), never appear in a schema, and can't be given by a client. A
dependency is made once per call, however many ask for it, and closed when the call ends.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_origin

from ..exceptions import FastMCPError, InvalidSignature
from .context import Context
from .dependencies import get_access_token, get_http_headers, get_http_request

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "CONTEXT",
    "CallArgument",
    "CurrentAccessToken",
    "CurrentContext",
    "CurrentFastMCP",
    "CurrentHeaders",
    "CurrentRequest",
    "CycleError",
    "Dependency",
    "Depends",
    "Progress",
    "Resolver",
    "TokenClaim",
    "annotated",
    "dependency_of",
    "is_union",
]

T = TypeVar("T")


class Dependency:
    """A value of the call. Subclasses say what: `resolve` is called once per call and parameter."""

    async def resolve(self, resolver: Resolver) -> Any:
        raise NotImplementedError

    def check(self) -> None:
        """Raises InvalidSignature for a dependency that could never be made; called at registration."""

    def optional(self) -> Dependency:
        """What fills a parameter that may also be None."""
        return self


class Resolver:
    """The dependencies of one call: each made once, context managers left in the reverse order."""

    def __init__(self, context: Context, arguments: Mapping[str, Any], dependencies: Mapping[str, Dependency]) -> None:
        """`arguments` and `dependencies` are those of the function that is called."""
        self.context = context
        self._arguments = dict(arguments)
        self._dependencies = dependencies
        self._under_way: list[str] = []
        self._stack = contextlib.AsyncExitStack()
        self._made: dict[Any, Any] = {}

    async def __aenter__(self) -> Resolver:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A dependency may react to an error (roll back), but it can't turn a failed call into one that returned.
        await self._stack.__aexit__(kind, error, traceback)

    async def argument(self, name: str, optional: bool) -> Any:
        """An argument of the function, given or made. Raises CycleError where it needs itself to be made."""
        if name not in self._arguments:
            dependency = self._dependencies.get(name)
            if dependency is None:
                if optional:
                    return None
                raise FastMCPError(f"CallArgument({name!r}): the function has no such parameter")
            if name in self._under_way:
                raise CycleError(f"Arguments that need each other: {' -> '.join((*self._under_way, name))}")
            self._under_way.append(name)
            try:
                self._arguments[name] = await dependency.resolve(self)
            finally:
                self._under_way.pop()
        return self._arguments[name]

    async def fill(self, dependencies: Mapping[str, Dependency]) -> dict[str, Any]:
        """The values of parameters by name, made in order."""
        return {name: await dependency.resolve(self) for name, dependency in dependencies.items()}

    async def make(self, factory: Callable[..., Any], needs: Mapping[str, Dependency], key: object) -> Any:
        """What the factory gives: entered where it is a context manager, else awaited. Made once for a `key`."""
        if key is not None and key in self._made:
            return self._made[key]
        if inspect.isasyncgenfunction(factory):
            factory = contextlib.asynccontextmanager(factory)
        elif inspect.isgeneratorfunction(factory):
            factory = contextlib.contextmanager(factory)
        value = factory(**await self.fill(needs))
        if inspect.isawaitable(value) and not _is_manager(value):
            value = await value
        if isinstance(value, contextlib.AbstractAsyncContextManager):
            value = await self._stack.enter_async_context(cast("contextlib.AbstractAsyncContextManager[Any]", value))
        elif isinstance(value, contextlib.AbstractContextManager):
            value = self._stack.enter_context(cast("contextlib.AbstractContextManager[Any]", value))
        if key is not None:
            self._made[key] = value
        return value


class CycleError(FastMCPError):
    """A dependency reads an argument that can only be made with this very dependency."""


class _Factory(Dependency):
    def __init__(self, factory: Callable[..., Any], use_cache: bool, bindings: Mapping[str, Any]) -> None:
        self._factory = factory
        self._bindings = {
            name: value if isinstance(value, Dependency) else _Current(lambda context, value=value: value)
            for name, value in bindings.items()
        }
        self._key = (_key(factory), *((name, id(value)) for name, value in bindings.items())) if use_cache else None
        self._needs: Mapping[str, Dependency] | None = None

    async def resolve(self, resolver: Resolver) -> Any:
        return await resolver.make(self._factory, self._own(()), self._key)

    def check(self) -> None:
        self._own(())

    def _own(self, above: tuple[Callable[..., Any], ...]) -> Mapping[str, Dependency]:
        """The factory's own dependencies. Raises InvalidSignature for a circle, or a parameter that nothing fills."""
        if self._needs is None:
            if self._factory in above:
                names = " -> ".join(_name(each) for each in (*above, self._factory))
                raise InvalidSignature(f"Dependencies that need each other: {names}")
            needs = _needs(self._factory, self._bindings)
            for each in needs.values():
                if isinstance(each, _Factory):
                    each._own((*above, self._factory))
            self._needs = needs
        return self._needs


def Depends(factory: Callable[..., Any], *, use_cache: bool = True, **bindings: Any) -> Any:
    """What `factory` gives, made once per call (each time with ``use_cache=False``).

    The factory is a function, async or not, or gives a context manager, async or not, which is left when the call
    ends (a generator function that yields once is one, too); its parameters may be dependencies.
    `bindings` are values or dependencies for its parameters.
    """
    return _Factory(factory, use_cache, bindings)


class CallArgument(Dependency):
    """An argument of the function that is called, for a parameter of a dependency: of the same name, or of `name`.

    `optional`: None where the function has no such parameter.
    """

    def __init__(self, name: str = "", *, optional: bool = False) -> None:
        self.name = name
        self._optional = optional

    def named(self, name: str) -> CallArgument:
        return self if self.name else CallArgument(name, optional=self._optional)

    async def resolve(self, resolver: Resolver) -> Any:
        return await resolver.argument(self.name, self._optional)


class _Current(Dependency):
    """A value that is read from the call."""

    def __init__(self, read: Callable[[Context], Any]) -> None:
        self._read = read

    async def resolve(self, resolver: Resolver) -> Any:
        return self._read(resolver.context)


CONTEXT = _Current(lambda context: context)


def CurrentContext() -> Any:
    """The Context of the call."""
    return CONTEXT


def CurrentFastMCP() -> Any:
    """The server that is called."""
    return _Current(lambda context: context.fastmcp)


def CurrentRequest() -> Any:
    """The HTTP request. The call fails where there is none (stdio, in memory)."""
    return _Current(lambda context: get_http_request())


def CurrentHeaders() -> Any:
    """The HTTP headers as a dict, ``authorization`` and ``cookie`` included; empty without a request."""
    return _Current(lambda context: get_http_headers(include={"authorization", "cookie"}))


def CurrentAccessToken() -> Any:
    """The caller's access token. The call fails where nobody authenticated."""
    return _Current(lambda context: _token())


def TokenClaim(name: str) -> Any:
    """One claim of the caller's access token, as text. The call fails where it is missing."""

    def read(context: Context) -> str:
        claims: Mapping[str, Any] = getattr(_token(), "claims", None) or {}
        if claims.get(name) is None:
            raise RuntimeError(f"The access token has no claim {name!r}; it has: {', '.join(sorted(claims)) or 'none'}")
        return str(claims[name])

    return _Current(read)


class Progress(Dependency):
    """Counts the progress of a call and reports it: ``progress: Progress = Progress()``."""

    def __init__(self) -> None:
        self._context: Context | None = None
        self.current: int | float | None = None
        self.total: int | float | None = None
        self.message: str | None = None

    async def resolve(self, resolver: Resolver) -> Progress:
        own = Progress()  # the default is shared by every call
        own._context = resolver.context
        return own

    async def set_total(self, total: float) -> None:
        """How much there is to do. Raises ValueError below 1."""
        if total < 1:
            raise ValueError(f"The total is at least 1, not {total}")
        self.total = total

    async def increment(self, amount: float = 1) -> None:
        """So much more is done. Raises ValueError below 1."""
        if amount < 1:
            raise ValueError(f"Progress grows by at least 1, not by {amount}")
        self.current = (self.current or 0) + amount
        await self._report()

    async def set_message(self, message: str | None) -> None:
        """What goes on now; sent with the next step."""
        self.message = message

    async def _report(self) -> None:
        if self._context is not None and self.current is not None:
            await self._context.report_progress(self.current, self.total, self.message)


def dependency_of(parameter: inspect.Parameter, annotation: Any) -> Dependency | None:
    """What fills the parameter: its default, its annotation, or the Context; None for one that the client gives."""
    if isinstance(parameter.default, Dependency):
        return parameter.default
    if is_union(annotation):
        parts = (dependency_of(parameter.replace(default=parameter.empty), part) for part in get_args(annotation))
        found = next((each for each in parts if each is not None), None)
        return found if found in (None, CONTEXT) else found.optional()
    if get_origin(annotation) is Annotated:
        marked = next((each for each in get_args(annotation)[1:] if isinstance(each, Dependency)), None)
        if marked is not None:
            return marked
    return CONTEXT if _is_context(annotation) else None


def _needs(factory: Callable[..., Any], bindings: Mapping[str, Dependency]) -> dict[str, Dependency]:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise InvalidSignature(f"Depends({factory!r}): no function with a readable signature: {error}") from error
    try:
        plain = annotated(factory)
        hints = typing.get_type_hints(plain.__init__ if inspect.isclass(plain) else plain, include_extras=True)
    except (TypeError, NameError):  # a builtin, or names for type checkers only: defaults say enough
        hints = dict[str, Any]()
    needs: dict[str, Dependency] = {}
    for name, parameter in signature.parameters.items():
        annotation = hints.get(name, parameter.annotation)
        found = bindings.get(name) or dependency_of(parameter, annotation)
        if found is not None:
            needs[name] = found.named(name) if isinstance(found, CallArgument) else found
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise InvalidSignature(
                f"The dependency {_name(factory)} has a parameter that nothing fills: {name}; give it a default, "
                "as in Depends(...)"
            )
    unknown = bindings.keys() - needs.keys()
    if unknown:
        raise InvalidSignature(f"The dependency {_name(factory)} has no parameter {', '.join(sorted(unknown))} to bind")
    return needs


def annotated(function: Callable[..., Any]) -> Any:
    """The function that carries the annotations: inside partials, decorators and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return inspect.unwrap(type(function).__call__)


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (typing.Union, types.UnionType)


def _is_context(annotation: Any) -> bool:
    """Whether the annotation is Context, alone, annotated or optional."""
    if get_origin(annotation) is Annotated or is_union(annotation):
        return any(_is_context(part) for part in get_args(annotation) if part is not type(None))
    return isinstance(annotation, type) and issubclass(annotation, Context)


def _token() -> Any:
    token = get_access_token()
    if token is None:
        raise RuntimeError("Nobody authenticated: this call has no access token")
    return token


def _key(factory: Callable[..., Any]) -> object:
    """What tells factories apart: equal ones are one, such as a method that is looked up twice."""
    try:
        hash(factory)
    except TypeError:
        return id(factory)
    return factory


def _is_manager(value: Any) -> bool:
    return isinstance(value, contextlib.AbstractAsyncContextManager | contextlib.AbstractContextManager)


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", None) or repr(factory)
