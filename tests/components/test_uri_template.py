"""URI templates: what matches, what is decoded, what is refused, and how long it takes."""

from __future__ import annotations

import time

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
        # Values stay in their place of a path.
        ("user://{id}", "user://..", None),
        ("user://{id}", "user://.", None),
        ("user://{id}", "user://%2e%2e", None),
        ("user://{id}", "user://a%2Fb", None),
        ("user://{id}", "user://a%5Cb", None),
        ("user://{id}", "user://a%00", None),
        ("user://{id}", "user://%ff", None),
        ("user://{id}", "user://..a", {"id": "..a"}),
        ("file://{path*}", "file://a/../b", None),
        ("file://{path*}", "file://a/%2e%2e/b", None),
        ("file://{path*}", "file:///etc/passwd", None),
        ("file://{path*}", "file://%2Fetc/passwd", None),
        ("file://{path*}", "file://C:/Windows", None),
        ("file://{path*}", "file://a/..b/c", {"path": "a/..b/c"}),
        ("user://{id}", "user://" + "a" * MAX_URI, None),
    ],
)
def test_match(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert UriTemplate(template).match(uri) == values


@pytest.mark.parametrize(
    "template",
    ["x://{", "x://}", "x://{}", "x://{a b}", "x://{a}{b}", "x://{a}/{a}", "x://{?q}/more", "x://{?q}{a}", "x://{1a}"],
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
