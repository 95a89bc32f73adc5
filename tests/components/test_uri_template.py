"""URI templates: what matches, what is decoded, and how long it takes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from headrace.components.uri_template import MAX_URI, UriTemplate


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("user://{id}/profile", "user://7/profile", {"id": "7"}),
        ("user://{id}/profile", "user://7/8/profile", None),
        ("user://{id}/profile", "user:///profile", None),
        ("user://{id}/profile", "user://7/profile/", None),
        ("user://{id}", "user://a%20b", {"id": "a b"}),
        ("user://{id}", "user://a?b", None),
        ("user://{id}", "user://a#b", None),
        ("x://{a}-{b}", "x://1-2-3", {"a": "1-2", "b": "3"}),
        ("x://{a}.{b}/c", "x://1.2/c", {"a": "1", "b": "2"}),
        ("file://{path*}", "file://a/b/c", {"path": "a/b/c"}),
        ("file://{path*}", "file://", None),
        ("file://{path*}.md", "file://a/b.md", {"path": "a/b"}),
        ("x://{p*}/x{id}", "x://a/x/xb", {"p": "a/x", "id": "b"}),
        ("x://{p*}/{id}", "x://a/b/c", {"p": "a/b", "id": "c"}),
        ("x://{p*}/mid/{q*}", "x://a/mid/b/mid/c", {"p": "a/mid/b", "q": "c"}),
        ("s://find{?q,page}", "s://find", {}),
        ("s://find{?q,page}", "s://find?page=2&q=a%2Fb&other=1", {"page": "2", "q": "a/b"}),
        ("s://{kind}/find{?q}", "s://dogs/find?q=", {"kind": "dogs", "q": ""}),
        ("data://fixed", "data://fixed", {}),
        ("data://fixed", "data://fixed2", None),
        ("s://find{?q}{&page}", "s://find?page=2&q=a", {"page": "2", "q": "a"}),
        ("s://find{?q}", "s://find?q=1&q=2", {"q": "1"}),
        ("s://find{?tag*}", "s://find?tag=a&tag=b", {"tag": ["a", "b"]}),
        ("s://find{?max-rows}", "s://find?max-rows=2", {"max_rows": "2"}),
        ("s://find{?q}", "s://find?" + "&".join("q" * 200), {}),
        ("git://{git-ref}/x", "git://main/x", {"git_ref": "main"}),
        # A client may write what no URI may hold as it is, or encoded.
        ("doc://café/{name}", "doc://café/übung", {"name": "übung"}),
        ("doc://café/{name}", "doc://caf%C3%A9/%C3%BCbung", {"name": "übung"}),
        ("doc://a b/{name}", "doc://a%20b/c d", {"name": "c d"}),
        ("user://{id}", "user://%ff", None),
        # What is unsafe in a path is not decided here.
        ("user://{id}", "user://%2e%2e%2Fa%00", {"id": "../a\0"}),
        ("file://{path*}", "file://a/../b", {"path": "a/../b"}),
        ("user://{id}", "user://" + "a" * MAX_URI, None),
    ],
)
def test_match(template: str, uri: str, values: dict[str, Any] | None) -> None:
    assert UriTemplate(template).match(uri) == values


@pytest.mark.parametrize(
    "template",
    [
        "x://{",
        "x://}",
        "x://{}",
        "x://{a b}",
        "x://{a}{b}",
        "x://{a}/{a}",
        "x://{?q}/more",
        "x://{?q}{a}",
        "x://{1a}",
        "x://{+a}",
        "x://{a,b}",
        "x://{a-b}/{a_b}",
    ],
)
def test_refused_templates(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        UriTemplate(template)


@pytest.mark.parametrize("uri", ["x://" + "a/" * 4000, "x://" + "a-" * 4000, "x://" + "a" * 8000])
@pytest.mark.parametrize("template", ["x://{a*}/{b*}/{c*}/{d*}/!", "x://{a}-{b}-{c}-{d}-{e}!", "x://{a*}-{b}-{c*}!"])
def test_no_uri_makes_it_slow(template: str, uri: str) -> None:
    pattern = UriTemplate(template)
    begin = time.perf_counter()
    assert pattern.match(uri) is None
    assert time.perf_counter() - begin < 0.5
