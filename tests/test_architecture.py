"""The floors and the never-rules of the house (DESIGN.md), read from the code with `ast`.

Each rule is a generator: module -> (line, what is wrong). `test_house` runs it over ``src``; `test_rule_bites` runs
it over snippets that break it, for a rule that can't fail holds nothing. Imports under TYPE_CHECKING don't count.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src/headrace"

# The house, with the floor of each room. A room may import rooms of its own floor and of lower ones.
FLOORS = {
    "exceptions": 0,
    "redaction": 0,
    "settings": 0,
    "mcp_config": 0,
    "version": 0,
    "protocol": 1,
    # Drawn on floor 0 for their readers, but made of protocol types.
    "call": 1.5,
    "types": 1.5,
    "state": 2,
    "transports": 2,
    "components": 3,
    "tools": 3,
    "resources": 3,
    "prompts": 3,
    "server": 4,
    "client": 4,
    "cli": 5,
    "testing": 5,
    "dependencies": 6,
    "utilities": 6,  # re-exports at the paths users know; no room imports them
    "": 7,  # the package itself: the lazy root
}
ROOM_IMPORTS_ONLY = {"call": {"protocol", "exceptions", "redaction"}, "types": {"protocol", "exceptions"}}
SERVER_MAY_IMPORT_CLIENT = ("server/proxy.py", "server/openapi/*")

PURE = ("protocol/*", "transports/http/admission.py", "transports/http/answer.py", "transports/http/guard.py")
IMPURE_IMPORTS = {"asyncio", "anyio", "time", "random", "secrets", "socket", "os", "uuid", "cryptography"}
IMPURE_IMPORTS |= {"starlette", "uvicorn", "httpx2", "threading", "subprocess"}

ONLY_IN = {
    "starlette": (
        "transports/http/*",
        "server/http.py",
        "server/auth/*",
        "components/dependencies.py",
        "testing/*",
        "utilities/ui.py",
    ),
    "uvicorn": ("server/run.py", "server/uvicorn_protocol.py", "testing/*"),
    "redis": ("state/redis.py",),
    "httpx2": (
        "testing/*",
        "transports/http/fetch.py",
        "client/*",
        "server/proxy.py",
        "server/openapi/*",
    ),
}

# Settings are read there; the others hand an environment to processes they start, or change it for a test.
ENVIRONMENT_IN = ("settings.py", "cli/*", "client/transports/stdio.py", "testing/*")

# The named doorways: (file, function) -> what may be imported inside of it.
DOORWAYS = {
    ("server/servable.py", "run*"): ("headrace.server.run",),
    ("server/servable.py", "http_app"): ("headrace.server.http",),
    ("server/server.py", "from_openapi"): ("headrace.server.openapi",),
    ("server/server.py", "from_fastapi"): ("headrace.server.openapi",),
    ("server/server.py", "as_proxy"): ("headrace.server.proxy",),
    # What a client talks to is known only when it is made: httpx2 costs nothing where a server is in memory.
    ("client/transports/__init__.py", "transport_for"): ("headrace.client.transports",),
    ("client/transports/wire.py", "__init__"): ("headrace.client.auth",),
    ("client/skills.py", "_front_matter"): ("headrace.client.front_matter",),
    # Windows has no such locks.
    ("client/auth/storage.py", "_lock"): ("fcntl",),
    ("state/sealer.py", "*"): ("cryptography",),
    # What is not served over HTTP starts without the HTTP server.
    ("server/run.py", "*"): ("uvicorn", "rich"),
    ("resources/types.py", "read"): ("headrace.transports.http.fetch",),
    ("components/dependencies.py", "get_http_request"): ("starlette",),
    # Tools are made of what needs Context, and few calls ask the model.
    ("components/context.py", "sample*"): ("headrace.components.sampling",),
    ("components/json_schema.py", "__init__"): ("jsonschema_rs",),
    ("components/versions.py", "version_key"): ("packaging",),
    ("components/docstrings.py", "documented"): ("docstring_parser",),
    ("__init__.py", "__getattr__"): ("headrace",),
}
OPTIONAL_EXTRAS = {"joserfc", "redis", "opentelemetry", "watchfiles", "granian"}

SIZES = {"module": 400, "class": 300, "function": 60}
SIZE_OF = {
    "protocol/types.py": 620,
    "types.py": 600,
    # One method per thing a user can say to a server.
    "server/server.py": 450,
    "server/server.py:FastMCP": 500,
    # One method per thing a function can say to its client.
    "components/context.py": 450,
    "components/context.py:Context": 350,
    # Users' habits fix the signature.
    "server/server.py:FastMCP.__init__": 90,
    # One method per operation of the protocol, each a few lines: the counterpart of FastMCP.
    "client/client.py": 500,
    "client/client.py:Client": 500,
}
# "file" or "file:Qualified.name" -> reason. Keep it small; an entry that is no longer needed fails.
SIZE_EXEMPT: dict[str, str] = {}

Found = Iterator[tuple[int, str]]


class Module:
    """One file: `path` inside the package, its tree, and what the rules ask about it."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.source = source
        self.tree = ast.parse(source)
        parts = path.removesuffix(".py").split("/")
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(["headrace", *(parts[:-1] if self.is_package else parts)])
        self.room = parts[0] if parts[0] != "__init__" else ""

    def within(self, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(self.path, pattern) for pattern in patterns)

    @cached_property
    def nodes(self) -> list[tuple[ast.AST, tuple[ast.AST, ...]]]:
        """Every node that runs, with its ancestors, outermost first; nothing under ``if TYPE_CHECKING``."""
        return list(_walk(self.tree, ()))

    @cached_property
    def imports(self) -> list[tuple[int, str, str | None]]:
        """(line, absolute dotted name, the function it is in)."""
        found: list[tuple[int, str, str | None]] = []
        for node, above in self.nodes:
            where = next((each.name for each in reversed(above) if isinstance(each, _FUNCTIONS)), None)
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name, where) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found += [(node.lineno, f"{base}.{alias.name}", where) for alias in node.names]
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        cut = len(parts) - node.level + (1 if self.is_package else 0)
        return ".".join([*parts[:cut], *([node.module] if node.module else [])])

    @cached_property
    def foreign_names(self) -> set[str]:
        """Names bound by imports of other packages."""
        names: set[str] = set()
        for node, _ in self.nodes:
            if isinstance(node, ast.Import):
                names |= {(a.asname or a.name).split(".")[0] for a in node.names if not a.name.startswith("headrace")}
            elif isinstance(node, ast.ImportFrom) and not self._absolute(node).startswith("headrace"):
                names |= {alias.asname or alias.name for alias in node.names}
        return names

    @cached_property
    def docstrings(self) -> set[int]:
        """The ids of string constants that stand alone: docstrings, also those below an attribute."""
        return {
            id(node.value)
            for node, _ in self.nodes
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        }


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (ast.ClassDef, *_FUNCTIONS)


def _walk(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for rest in child.orelse:
                yield rest, (*above, node)
                yield from _walk(rest, (*above, node))
            continue
        yield child, (*above, node)
        yield from _walk(child, (*above, node))


def _room_of(target: str) -> str | None:
    """``headrace.server.http`` -> ``server``; a name of the package itself -> ``""``; another package -> None."""
    parts = target.split(".")
    if parts[0] != "headrace":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else ""


# 1. Floors


def floors(module: Module) -> Found:
    if module.room not in FLOORS:
        yield 1, f"the room {module.room!r} is on no floor: put it into FLOORS and DESIGN.md"
        return
    for line, target, _ in module.imports:
        room = _room_of(target)
        if room is None or room == module.room:
            continue
        if FLOORS[room] > FLOORS[module.room]:
            yield line, f"imports {target}, which is on a higher floor"
        allowed = ROOM_IMPORTS_ONLY.get(module.room)
        if allowed is not None and room not in allowed:
            yield line, f"imports {target}; {module.room} may import only {', '.join(sorted(allowed))}"
        if module.room == "server" and room == "client" and not module.within(SERVER_MAY_IMPORT_CLIENT):
            yield line, "the server imports the client"
        if module.room == "client" and room == "server":
            yield line, "the client imports the server"


# 2. Purity


def purity(module: Module) -> Found:
    if not module.within(PURE):
        return
    for line, target, _ in module.imports:
        if target.split(".")[0] in IMPURE_IMPORTS:
            yield line, f"a pure file imports {target}: clocks, ids and ciphers are handed in"
    for node, _ in module.nodes:
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "a pure file awaits"


# 3. Dates

_DATE = re.compile(r"(?<!\d)20\d\d-\d\d-\d\d(?!\d)")


def dates(module: Module) -> Found:
    for node, _ in module.nodes:
        if isinstance(node, ast.Constant) and module.path != "protocol/versions.py":
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str) and id(node) not in module.docstrings and _DATE.search(value):
                yield node.lineno, f"{value!r}: a revision's date; ask a fact of protocol/versions.py"
        if isinstance(node, ast.Compare) and any(isinstance(op, _ORDERINGS) for op in node.ops):
            if any(_is_version(operand) for operand in (node.left, *node.comparators)):
                yield node.lineno, "orders versions; an unknown version is unknown, not newer"


_ORDERINGS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def _is_version(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name == "version" or name.endswith("_version")


# 4. Frameworks stay in their rooms


def frameworks(module: Module) -> Found:
    for line, target, _ in module.imports:
        places = ONLY_IN.get(target.split(".")[0])
        if places is not None and not module.within(places):
            yield line, f"imports {target}, which belongs only in {', '.join(places)}"


# 5. No effects at import

_EFFECTS = re.compile(
    r"^(logging\.(basicConfig|config\..*|disable|captureWarnings|addLevelName|setLoggerClass)|warnings\.(filterwarnings|simplefilter)"
    r"|.*\.(addHandler|setLevel|addFilter)|signal\.signal|atexit\.register|setattr|delattr|print|open|asyncio\.run)$"
)
_ENVIRONMENT = re.compile(r"^(os\.(environ|environb|getenv|getenvb|putenv)|environ|getenv)$")


def effects(module: Module) -> Found:
    for node, above in module.nodes:
        if isinstance(node, ast.Attribute | ast.Name) and _ENVIRONMENT.match(ast.unparse(node)):
            if not module.within(ENVIRONMENT_IN) or not _inside_function(node, above):
                yield node.lineno, "reads the environment; settings.py does, when it is called"
        if _inside_function(node, above) or any(_is_main_guard(each) for each in above):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node.lineno, f"{ast.unparse(node.value.func)}() is called at import for its effect"
        elif (
            isinstance(node, ast.Call)
            and not isinstance(above[-1], ast.Expr)
            and _EFFECTS.match(ast.unparse(node.func))
        ):
            yield node.lineno, f"{ast.unparse(node.func)}() at import is an effect"
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _base_name(node) in module.foreign_names:
                yield node.lineno, f"patches {ast.unparse(node)} at import"
        elif isinstance(node, ast.For | ast.While | ast.With):
            yield node.lineno, "a loop or a with block runs at import; use a comprehension or a function"


def _inside_function(node: ast.AST, above: tuple[ast.AST, ...]) -> bool:
    """Whether the node runs only in a call: decorators and defaults of a function run at import."""
    for scope, child in zip(above, (*above[1:], node), strict=True):
        if isinstance(scope, _FUNCTIONS) and child in scope.body:
            return True
        if isinstance(scope, ast.Lambda) and child is scope.body:
            return True
    return False


def _is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__ ==")


def _base_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


# 6. No hidden imports


def hidden_imports(module: Module) -> Found:
    for line, target, function in module.imports:
        if function is None or target.split(".")[0] in OPTIONAL_EXTRAS:
            continue
        doors = [to for (path, name), to in DOORWAYS.items() if path == module.path and fnmatchcase(function, name)]
        if not any(target == to or target.startswith(f"{to}.") for door in doors for to in door):
            yield line, f"imports {target} inside {function}(), which is no named doorway"


# 7. Plain code

_DRAWERS = re.compile(r"(^|/)_?(utils?|helpers?|common|misc|commons)(\.py$|/)")
_TEXT_TESTS = ("startswith", "endswith", "find", "index", "count", "match", "search", "fullmatch")


def plain_code(module: Module) -> Found:
    if _DRAWERS.search(module.path):
        yield 1, "a drawer for anything: name the module after what it does"
    for line, target, _ in module.imports:
        parts = target.split(".")
        if parts[0] != "headrace" and any(part.startswith("_") and not _is_dunder(part) for part in parts):
            yield line, f"imports {target}, a private name of a dependency"
    for node, above in module.nodes:
        if isinstance(node, ast.ClassDef):
            names = [node.name, *(ast.unparse(base) for base in node.bases)]
            if any(name.lower().rstrip("]").endswith("mixin") for name in names):
                yield node.lineno, f"{node.name}: a mixin that splits a class"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not _is_dunder(node.attr):
            if _base_name(node) in module.foreign_names and _base_name(node) not in ("self", "cls"):
                yield node.lineno, f"{ast.unparse(node)}: a private name of a dependency"
        if _tells_exceptions_by_text(node, above):
            yield node.lineno if isinstance(node, ast.expr) else 1, "tells exceptions apart by their text"


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _tells_exceptions_by_text(node: ast.AST, above: tuple[ast.AST, ...]) -> bool:
    caught = {each.name for each in above if isinstance(each, ast.ExceptHandler) and each.name}
    if not caught:
        return False
    if isinstance(node, ast.Compare):
        return any(_text_of(operand, caught) for operand in (node.left, *node.comparators))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT_TESTS:
        return any(_text_of(part, caught) for part in (node.func.value, *node.args))
    return False


def _text_of(node: ast.expr, caught: set[str]) -> bool:
    """Whether the expression is a caught exception's text: ``str(e)``, ``repr(e)``, ``e.args[0]``, ``e.message``."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in ("str", "repr"):
            if any(isinstance(argument, ast.Name) and argument.id in caught for argument in part.args):
                return True
        if isinstance(part, ast.Attribute) and part.attr in ("args", "message", "msg"):
            if isinstance(part.value, ast.Name) and part.value.id in caught:
                return True
    return False


# Aims for size, and the declared surface


def sizes(module: Module) -> Found:
    rows = [(1, module.path, "module", module.source.count("\n"))]
    for node, above in module.nodes:
        if isinstance(node, _DEFINITIONS):
            names = [each.name for each in (*above, node) if isinstance(each, _DEFINITIONS)]
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            rows.append((node.lineno, f"{module.path}:{'.'.join(names)}", kind, lines))
    for line, name, kind, lines in rows:
        limit = SIZE_OF.get(name, SIZES[kind])
        if lines > limit and name not in SIZE_EXEMPT:
            yield line, f"{name}: a {kind} of {lines} lines, the aim is {limit}"
        if lines <= limit and name in SIZE_EXEMPT:
            yield line, f"{name} fits again: take it out of SIZE_EXEMPT"


def declares_all(module: Module) -> Found:
    values = [
        node.value
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and any(
            isinstance(target, ast.Name) and target.id == "__all__"
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
    ]
    documented = ast.get_docstring(module.tree) is not None
    if not documented:
        yield 1, "no docstring that says what the module is for"
    # A package that holds only modules says so in its docstring and exports nothing.
    if not values and not (module.is_package and len(module.tree.body) <= 2):
        yield 1, "no __all__"
    bound = {name for node in module.tree.body for name in _bound(node)}
    lazy = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in module.tree.body)
    for value in values:
        for element in ast.walk(value) if value is not None else ():
            if isinstance(element, ast.Constant) and isinstance(element.value, str) and not lazy:
                if element.value not in bound:
                    yield element.lineno, f"__all__ names {element.value}, which is not here"


def _bound(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, _DEFINITIONS):
            yield each.name
        elif isinstance(each, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in each.names)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


RULES: dict[str, Callable[[Module], Found]] = {
    "floors (never 1)": floors,
    "purity (never 2)": purity,
    "dates (never 3)": dates,
    "frameworks (never 4)": frameworks,
    "effects at import (never 5)": effects,
    "hidden imports (never 6)": hidden_imports,
    "plain code (never 7)": plain_code,
    "sizes (aims)": sizes,
    "declared surface": declares_all,
}


def house() -> list[Module]:
    return [Module(path.relative_to(SRC).as_posix(), path.read_text()) for path in sorted(SRC.rglob("*.py"))]


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return house()


@pytest.mark.parametrize("rule", RULES)
def test_house(rule: str, modules: list[Module]) -> None:
    assert modules
    found = [
        f"src/headrace/{module.path}:{line}: {rule}: {what}"
        for module in modules
        for line, what in sorted(set(RULES[rule](module)))
    ]
    assert not found, f"{len(found)} against DESIGN.md:\n" + "\n".join(found)


def test_every_exemption_names_something(modules: list[Module]) -> None:
    files = {module.path for module in modules}
    assert {name.split(":")[0] for name in SIZE_EXEMPT} <= files


# What breaks each rule: (rule, file, source, how many times).
BAD = [
    ("floors (never 1)", "protocol/x.py", "from ..call import Call", 1),
    ("floors (never 1)", "protocol/x.py", "from .. import call", 1),
    ("floors (never 1)", "protocol/x.py", "import headrace.server.http", 1),
    ("floors (never 1)", "transports/http/x.py", "from ...components import context", 1),
    ("floors (never 1)", "components/x.py", "def f():\n    from ..server.server import FastMCP", 1),
    ("floors (never 1)", "components/__init__.py", "from ..server import server", 1),
    ("floors (never 1)", "server/x.py", "from headrace import FastMCP", 1),
    ("floors (never 1)", "server/x.py", "from ..utilities import types", 1),
    ("floors (never 1)", "server/x.py", "from ..client import Client", 1),
    ("floors (never 1)", "client/x.py", "from ..server.http import make_app", 1),
    ("floors (never 1)", "call.py", "from .settings import Settings", 1),
    ("floors (never 1)", "attic/x.py", "", 1),
    ("purity (never 2)", "protocol/x.py", "import time\nfrom os import path\nimport secrets as s", 3),
    ("purity (never 2)", "protocol/x.py", "async def f(g):\n    await g", 2),
    ("purity (never 2)", "transports/http/admission.py", "from starlette.types import Scope", 1),
    ("dates (never 3)", "server/x.py", 'V = "2025-06-18"', 1),
    ("dates (never 3)", "server/x.py", 'V = f"since 2025-06-18 {x}"', 1),
    ("dates (never 3)", "server/x.py", 'V = {b"2026-07-28": 1}', 1),
    ("dates (never 3)", "server/x.py", "def f(era): return era.version >= other", 1),
    ("dates (never 3)", "protocol/versions.py", "def f(version): return version < LATEST", 1),
    ("frameworks (never 4)", "tools/x.py", "from starlette.requests import Request", 1),
    ("frameworks (never 4)", "server/http.py", "import uvicorn", 1),
    ("frameworks (never 4)", "state/memory.py", "import redis.asyncio", 1),
    ("frameworks (never 4)", "server/server.py", "import httpx2", 1),
    ("effects at import (never 5)", "server/x.py", 'import os\nX = os.environ["X"]', 1),
    ("effects at import (never 5)", "server/x.py", 'import os\ndef f():\n    return os.getenv("X")', 1),
    ("effects at import (never 5)", "settings.py", 'import os\nX = os.environ.get("X")', 1),
    ("effects at import (never 5)", "server/x.py", "import os\ndef f(x=os.environ): ...", 1),
    ("effects at import (never 5)", "server/x.py", "import logging\nlogging.basicConfig()", 1),
    ("effects at import (never 5)", "server/x.py", 'import warnings\nwarnings.simplefilter("ignore")', 1),
    ("effects at import (never 5)", "server/x.py", "X = asyncio.run(f())", 1),
    ("effects at import (never 5)", "server/x.py", "from starlette.routing import Route\nRoute.x = 1", 1),
    ("effects at import (never 5)", "server/x.py", "import sys\nsys.modules['x'] = None", 1),
    ("effects at import (never 5)", "server/x.py", "for x in y:\n    z = x", 1),
    ("hidden imports (never 6)", "server/x.py", "def f():\n    import json", 1),
    (
        "hidden imports (never 6)",
        "server/servable.py",
        "class S:\n    def run(self):\n        from ..client import C",
        1,
    ),
    ("hidden imports (never 6)", "server/x.py", "def http_app():\n    from .http import make_app", 1),
    ("plain code (never 7)", "server/utils.py", "", 1),
    ("plain code (never 7)", "server/helpers/x.py", "", 1),
    ("plain code (never 7)", "server/x.py", "class ToolsMixin: ...", 1),
    ("plain code (never 7)", "server/x.py", "from pydantic._internal import x", 1),
    ("plain code (never 7)", "server/x.py", "import anyio\nanyio.abc._x()", 1),
    ("plain code (never 7)", "server/x.py", "try: f()\nexcept E as e:\n    if 'gone' in str(e): g()", 1),
    ("plain code (never 7)", "server/x.py", "try: f()\nexcept E as e:\n    x = str(e).startswith('a')", 1),
    ("plain code (never 7)", "server/x.py", "try: f()\nexcept E as e:\n    x = e.args[0] == 'a'", 1),
    ("sizes (aims)", "server/x.py", "x = 1\n" * 401, 1),
    ("sizes (aims)", "server/x.py", "class C:\n" + "    x = 1\n" * 300, 1),
    ("sizes (aims)", "server/x.py", "async def f():\n" + "    x = 1\n" * 60, 1),
    ("declared surface", "server/x.py", '"""Doc."""\nx = 1', 1),
    ("declared surface", "server/x.py", '"""Doc."""\n__all__ = ["y"]\nx = 1', 1),
    ("declared surface", "server/x.py", "__all__ = ['x']\nx = 1", 1),
]
# What no rule may object to.
GOOD = [
    ("floors (never 1)", "components/x.py", "if TYPE_CHECKING:\n    from ..server.server import FastMCP"),
    ("floors (never 1)", "components/x.py", "from ..call import Call\nfrom ..tools.tool import Tool\nfrom . import y"),
    ("floors (never 1)", "server/proxy.py", "from ..client import Client"),
    ("floors (never 1)", "state/__init__.py", "from .memory import MemoryBus\nfrom ..protocol import types"),
    ("purity (never 2)", "transports/http/endpoint.py", "import asyncio"),
    ("dates (never 3)", "server/x.py", '"""Since 2025-06-18."""\nx = 1\n"""From 2026-07-28."""\n# 2025-11-25'),
    (
        "dates (never 3)",
        "server/x.py",
        'X = "https://json-schema.org/draft/2020-12/schema"\nX = sys.version_info >= (3, 12)',
    ),
    ("dates (never 3)", "protocol/versions.py", 'V = "2025-06-18"'),
    ("frameworks (never 4)", "server/run.py", "import uvicorn"),
    ("effects at import (never 5)", "settings.py", "import os\ndef load():\n    return os.environ"),
    ("effects at import (never 5)", "server/x.py", "import logging\nlogger = logging.getLogger(__name__)"),
    ("effects at import (never 5)", "server/x.py", "import warnings\ndef f():\n    warnings.warn('x')"),
    (
        "hidden imports (never 6)",
        "server/servable.py",
        "class S:\n    def run_async(self):\n        from .run import run",
    ),
    ("hidden imports (never 6)", "server/x.py", "def f():\n    from opentelemetry import trace"),
    ("plain code (never 7)", "server/x.py", "import typing\nclass C:\n    def f(self): return self._x"),
    ("plain code (never 7)", "server/x.py", "try: f()\nexcept E as e:\n    raise X(str(e)) from e"),
    ("plain code (never 7)", "utilities/types.py", "from ..types import Image"),
    ("sizes (aims)", "protocol/types.py", "x = 1\n" * 590),
    ("declared surface", "state/__init__.py", '"""What outlives a request."""\nfrom __future__ import annotations'),
    ("declared surface", "server/x.py", '"""Doc."""\n__all__ = ["C", "x"]\nx: int = 1\nclass C: ...'),
]


@pytest.mark.parametrize(("rule", "path", "source", "times"), BAD)
def test_rule_bites(rule: str, path: str, source: str, times: int) -> None:
    found = list(RULES[rule](Module(path, source)))
    assert len(found) == times, found
    assert all(line >= 1 for line, _ in found)


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_rule_lets_pass(rule: str, path: str, source: str) -> None:
    assert list(RULES[rule](Module(path, source))) == []


def test_every_rule_has_something_that_breaks_it() -> None:
    assert {rule for rule, *_ in BAD} == set(RULES)


def test_the_node_lock_file_names_no_host() -> None:
    """Where packages come from is the machine's own setting (CONTRIBUTING.md)."""
    packages = json.loads((ROOT / "tests/node/package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert all("integrity" in entry for name, entry in packages.items() if name)


def test_the_root_imports_nothing_heavy() -> None:
    """``import headrace`` is lazy: neither pydantic nor Starlette nor a server is loaded by it."""
    root = SRC / "__init__.py"
    if not root.exists():
        pytest.skip("no root yet")
    at_top = {
        target.split(".")[0] for _, target, function in Module("__init__.py", root.read_text()).imports if not function
    }
    assert at_top <= {*sys.stdlib_module_names}, at_top
