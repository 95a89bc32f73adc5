"""Resource templates: which URIs they take, what their functions get, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Context
from headrace.exceptions import InvalidSignature, ValidationError
from headrace.protocol.types import ReadResourceResult
from headrace.resources import FunctionResourceTemplate, Resource, ResourceSecurity, ResourceTemplate, TextResource

WITHOUT: Any = None
"""No context: what users have who call a resource themselves."""


def template(uri: str, **options: Any) -> ResourceTemplate:
    def read(id: str = "", path: str = "", q: str = "", git_ref: str = "") -> str:
        return id or path or q or git_ref

    return ResourceTemplate.from_function(read, uri, **options)


SEGMENT, WILDCARD, QUERY = "x://{id}", "x://{path*}", "x://find{?q}"


@pytest.mark.parametrize(
    ("uri_template", "value", "allowed"),
    [
        (SEGMENT, "a", True),
        (SEGMENT, "v1..v2", True),
        (SEGMENT, "..a", True),
        (SEGMENT, ".env", True),
        (SEGMENT, "..", False),
        (SEGMENT, "%2e%2e", False),
        (SEGMENT, ".", False),
        (SEGMENT, "a%2Fb", False),
        (SEGMENT, "a%5Cb", False),
        (SEGMENT, "%2Fetc", False),
        (SEGMENT, "C%3A", False),
        (SEGMENT, "a%00", False),
        (WILDCARD, "a/b/c", True),
        (WILDCARD, "a/..b/c", True),
        (WILDCARD, "a/../b", False),
        (WILDCARD, "../b", False),
        (WILDCARD, "a/%2e%2e/b", False),
        (WILDCARD, "a%5C..%5Cb", False),
        (WILDCARD, "/etc/passwd", False),
        (WILDCARD, "%2Fetc/passwd", False),
        (WILDCARD, "%5C%5Chost/share", False),
        (WILDCARD, "C:/Windows", False),
        (WILDCARD, "a%00b", False),
        (QUERY, "a/b", True),
        (QUERY, "what%20is%20..%3F", True),
        (QUERY, "a/../b", False),
        (QUERY, "..%5Ca", False),
        (QUERY, "/etc/passwd", False),
        (QUERY, "a%00", False),
    ],
)
def test_values_that_leave_their_place_match_nothing(uri_template: str, value: str, allowed: bool) -> None:
    uri = f"x://find?q={value}" if uri_template == QUERY else f"x://{value}"
    found = template(uri_template).match(uri)
    assert (found is not None) is allowed
    # Without checks the URI is one of the template's.
    assert template(uri_template, security=None).match(uri) is not None


@pytest.mark.parametrize(
    ("security", "uri", "allowed"),
    [
        (ResourceSecurity(reject_path_traversal=False), "x://..", True),
        (ResourceSecurity(reject_path_traversal=False), "x://%2Fa", False),
        (ResourceSecurity(reject_absolute_paths=False), "x://C%3Aa", True),
        (ResourceSecurity(reject_absolute_paths=False), "x://..", False),
        (ResourceSecurity(reject_null_bytes=False), "x://a%00", True),
        (ResourceSecurity(exempt_params={"id"}), "x://..%2F%00", True),
        (ResourceSecurity(exempt_params={"other"}), "x://..", False),
    ],
)
def test_a_policy_of_ones_own(security: ResourceSecurity, uri: str, allowed: bool) -> None:
    assert (template(SEGMENT, security=security).match(uri) is not None) is allowed
    # ... also as the server's, for templates without one.
    assert (template(SEGMENT).match(uri, security) is not None) is allowed


def test_the_templates_policy_wins_over_the_servers() -> None:
    assert template(SEGMENT, security=ResourceSecurity()).match("x://..", None) is None
    assert template(SEGMENT, security=None).match("x://..", ResourceSecurity()) == {"id": ".."}


@pytest.mark.parametrize("spelled", ["git-ref", "git_ref"])
def test_exempt_parameters_with_hyphens(spelled: str) -> None:
    made = template("git://{git-ref}", security=ResourceSecurity(exempt_params={spelled}))
    assert made.match("git://..") == {"git_ref": ".."}


async def test_values_become_what_the_function_asks_for() -> None:
    def search(kind: str, limit: int = 10, exact: bool = False, tags: list[str] | None = None) -> dict[str, Any]:
        return {"kind": kind, "limit": limit, "exact": exact, "tags": tags}

    made = ResourceTemplate.from_function(search, "s://{kind}{?limit,exact,tags*}")
    values = made.match("s://dogs?limit=3&exact=true&tags=a&tags=b")
    assert values == {"kind": "dogs", "limit": "3", "exact": "true", "tags": ["a", "b"]}
    assert values is not None
    assert await made.read(values) == {"kind": "dogs", "limit": 3, "exact": True, "tags": ["a", "b"]}
    assert await made.read({"kind": "dogs"}) == {"kind": "dogs", "limit": 10, "exact": False, "tags": None}
    with pytest.raises(ValidationError, match="limit"):
        await made.read({"kind": "dogs", "limit": "many"})


def needs_more(id: str, other: str) -> str:
    return id + other


def needs_query(q: str) -> str:
    return q


@pytest.mark.parametrize(
    ("function", "uri", "message"),
    [
        (needs_more, "x://{id}", "needs other"),
        (needs_query, "x://a{?q}", "needs q"),
        (needs_query, "x://{q}/{r}", "function has not: r"),
    ],
)
def test_parameters_must_agree(function: Any, uri: str, message: str) -> None:
    with pytest.raises(InvalidSignature, match=message):
        ResourceTemplate.from_function(function, uri)


async def test_create_resource() -> None:
    def profile(id: int) -> dict[str, int]:
        """A profile."""
        return {"id": id}

    made = ResourceTemplate.from_function(profile, "user://{id}", tags={"t"}, meta={"k": 1}, version="2")
    resource = await made.create_resource("user://7", {"id": "7"})
    assert isinstance(resource, Resource)
    listed = resource.to_wire()
    assert (listed.uri, listed.name, listed.description) == ("user://7", "profile", "A profile.")
    assert listed.mime_type == "text/plain"
    assert resource.version == "2"
    assert await resource.read() == {"id": 7}
    answer = await resource.answer(WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    assert (answer.contents[0].uri, answer.contents[0].text, answer.contents[0].meta) == (
        "user://7",
        '{"id":7}',
        {"k": 1},
    )
    with pytest.raises(ValidationError, match="id"):
        await made.create_resource("user://x", {"id": "x"})


async def test_a_subclass_of_ones_own() -> None:
    class Shout(ResourceTemplate):
        async def read(self, arguments: dict[str, Any]) -> str:
            return str(arguments["word"]).upper()

    shout = Shout("shout://{word}", name="shout")
    answer = await shout.answer("shout://hey", shout.bind({"word": "hey"}), WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    assert answer.contents[0].text == "HEY"
    with pytest.raises(NotImplementedError, match="read"):
        await ResourceTemplate("x://{a}").read({})


async def test_a_function_may_give_a_resource() -> None:
    def choose(name: str) -> Resource:
        return TextResource(uri="inner://x", text=f"for {name}")

    made = ResourceTemplate.from_function(choose, "x://{name}")
    assert await made.read({"name": "me"}) == "for me"


async def test_a_function_that_needs_a_context_runs_only_in_a_call() -> None:
    def who(id: str, ctx: Context) -> str:
        return ctx.request_id

    made = ResourceTemplate.from_function(who, "x://{id}")
    assert isinstance(made, FunctionResourceTemplate)
    assert "ctx" not in made.parameters["properties"]
    with pytest.raises(RuntimeError, match="context"):
        await made.read({"id": "1"})
