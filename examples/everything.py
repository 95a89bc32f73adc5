"""A tour of everything a server can offer, and the fixture of the official conformance suite.

``python examples/everything.py --port 8000``. The names beginning with ``test_`` and some of the texts are what the
suite asks for.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from headrace import Context, FastMCP
from headrace.exceptions import ToolError
from headrace.state.memory import MemoryEventStore
from headrace.types import Audio, EmbeddedResource, Image, Message, ResourceContents

mcp = FastMCP("everything", instructions="Shows every feature once; no tool has an effect outside of the server.")

RED_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
SILENCE = base64.b64decode("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=")


# Content. A return value becomes content by its type; a list is several items.


@mcp.tool
def test_simple_text() -> str:
    """Answer with text."""
    return "This is a simple text response for testing."


@mcp.tool
def test_image_content() -> Image:
    """Answer with an image."""
    return Image(data=RED_PIXEL, format="png")


@mcp.tool
def test_audio_content() -> Audio:
    """Answer with a sound."""
    return Audio(data=SILENCE, format="wav")


@mcp.tool
def test_embedded_resource() -> EmbeddedResource:
    """Answer with a resource inside the result."""
    text = "This is an embedded resource content."
    return EmbeddedResource(
        resource=ResourceContents(uri="test://embedded-resource", mime_type="text/plain", text=text)
    )


@mcp.tool
def test_multiple_content_types() -> list[Any]:
    """Answer with text, an image and a resource at once."""
    resource = ResourceContents(
        uri="test://mixed-content-resource", mime_type="application/json", text='{"test":"data","value":123}'
    )
    return [
        "Multiple content types test:",
        Image(data=RED_PIXEL, format="png"),
        EmbeddedResource(resource=resource),
    ]


@mcp.tool
def test_error_handling() -> str:
    """Fail: the model sees the text."""
    raise ToolError("This tool intentionally returns an error for testing")


# Notes on the way to an answer. The answer becomes a stream when the first one is sent.


@mcp.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Log at the start, in the middle and at the end."""
    await ctx.info("Tool execution started")
    await asyncio.sleep(0.05)
    await ctx.info("Tool processing data")
    await asyncio.sleep(0.05)
    await ctx.info("Tool execution completed")
    return "Logged three times."


@mcp.tool
async def test_logging_tool(ctx: Context) -> str:
    """Log once. In 2026-07-28 the client sees it only if its request says from which level on."""
    await ctx.info("Logged at level info")
    return "Logged once."


@mcp.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress, for clients that sent a progress token."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(0.05)
    return "All done."


@mcp.tool
async def test_reconnection(ctx: Context) -> str:
    """Close the stream before the answer: a client of 2025-11-25 fetches it with Last-Event-ID."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.15)
    return "Fetched after a reconnection."


# Schemas. They come from the type hints, or are given as they are.


@mcp.tool(
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)
def json_schema_2020_12_tool(
    name: str = "",
    address: dict[str, str] | None = None,
    contactMethod: Literal["phone", "email"] = "email",
    phone: str = "",
    email: str = "",
) -> str:
    """Take arguments that fit a schema written by hand, with conditions that type hints can't say."""
    return f"{name} of {address or 'no address'}: by {contactMethod}, {phone or email}"


@mcp.tool
def test_custom_headers(message: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Message"})]) -> str:
    """Echo; in 2026-07-28 the header Mcp-Param-Message mirrors the argument, for proxies that route by it."""
    return message


# Questions to the client: its user (elicit), its model (sample), its directories (list_roots). They read the same in
# every revision; in 2026-07-28 the function runs again with the answers, which are found by `key`.


@dataclass
class Account:
    username: str
    email: str


class Profile(BaseModel):
    """Defaults are what the form shows before the user changes it."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@dataclass
class Name:
    name: str


@dataclass
class Color:
    color: str


@dataclass
class Confirmation:
    ok: bool


@dataclass
class PromptContext:
    context: str


# A form that is given as a schema: all five ways to offer a choice.
CHOICES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [
                {"const": "value1", "title": "First Option"},
                {"const": "value2", "title": "Second Option"},
                {"const": "value3", "title": "Third Option"},
            ],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "value1", "title": "First Choice"},
                    {"const": "value2", "title": "Second Choice"},
                    {"const": "value3", "title": "Third Choice"},
                ]
            },
        },
    },
    "required": [],
}


@mcp.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user for an account."""
    answer = await ctx.elicit(message, response_type=Account, key="account")
    if answer.action != "accept":
        return f"User response: action={answer.action}"
    return f"User response: action=accept, content={answer.data}"


@mcp.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with a form that has defaults."""
    answer = await ctx.elicit("Please check your profile", response_type=Profile, key="profile")
    if answer.action != "accept":
        return f"Elicitation completed: action={answer.action}"
    return f"Elicitation completed: action=accept, content={answer.data}"


@mcp.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with a form of choices."""
    answer = await ctx.elicit("Please choose", response_type=CHOICES, key="choices")
    if answer.action != "accept":
        return f"Elicitation completed: action={answer.action}"
    return f"Elicitation completed: action=accept, content={answer.data}"


@mcp.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Ask whether to go on."""
    answer = await ctx.elicit("Go on?", response_type=Confirmation, key="confirm")
    return f"Answered: {answer.action}"


@mcp.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    reply = await ctx.sample(prompt, max_tokens=100, key="reply")
    return f"LLM response: {reply.text}"


@mcp.tool
async def test_missing_capability(ctx: Context) -> str:
    """Ask the client's model; a client without one gets an error that says what is missing."""
    reply = await ctx.sample("Say hello", max_tokens=20, key="hello")
    return f"LLM response: {reply.text}"


@mcp.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Ask the user for a name."""
    answer = await ctx.elicit("What is your name?", response_type=Name, key="user_name")
    return f"Hello, {answer.data.name}!" if answer.action == "accept" else "Hello, stranger!"


@mcp.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Ask the client's model for a capital."""
    reply = await ctx.sample("What is the capital of France?", max_tokens=100, key="capital_question")
    return f"The model says: {reply.text}"


@mcp.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Ask for the client's directories."""
    roots = await ctx.list_roots(key="client_roots")
    return "Roots: " + ", ".join(root.uri for root in roots)


@mcp.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Ask for a confirmation; what the tool knows travels sealed in the request state."""
    answer = await ctx.elicit("Please confirm", response_type=Confirmation, key="confirm")
    return f"state-ok: {answer.action}"


@mcp.tool
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Ask for a confirmation; a changed request state is refused before this function runs."""
    answer = await ctx.elicit("Please confirm", response_type=Confirmation, key="confirm")
    return f"Confirmed: {answer.action}"


@mcp.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Ask three things at once: in 2026-07-28 they are one round trip."""
    name, greeting, roots = await asyncio.gather(
        ctx.elicit("What is your name?", response_type=Name, key="user_name"),
        ctx.sample("Generate a greeting", max_tokens=50, key="greeting"),
        ctx.list_roots(key="client_roots"),
    )
    who = name.data.name if name.action == "accept" else "stranger"
    return f"{greeting.text}, {who}; {len(roots)} roots"


@mcp.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Ask one thing after the other: each is a round trip of its own."""
    name = await ctx.elicit("Step 1: what is your name?", response_type=Name, key="step1")
    color = await ctx.elicit("Step 2: what is your favourite color?", response_type=Color, key="step2")
    if name.action != "accept" or color.action != "accept":
        return "Not all steps were answered."
    return f"{name.data.name} likes {color.data.color}."


@mcp.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Ask only what this client said it can answer."""
    able = ctx.client_capabilities
    if able.elicitation is not None:
        answer = await ctx.elicit("What is your name?", response_type=Name, key="user_name")
        return f"The user: {answer.action}"
    if able.sampling is not None:
        reply = await ctx.sample("Make up a name", max_tokens=20, key="made_up_name")
        return f"The model: {reply.text}"
    return "Nobody to ask."


# Changes. Clients that listen are told; the set of components is the same afterwards.


def test_dynamic_tool() -> str:
    """Only there for a moment."""
    return "Hello from a dynamic tool."


@mcp.tool
def test_trigger_tool_change() -> str:
    """Add a tool and remove it again."""
    mcp.add_tool(test_dynamic_tool)
    mcp.remove_tool("test_dynamic_tool")
    return "The list of tools changed."


def test_dynamic_prompt() -> str:
    """Only there for a moment."""
    return "Hello from a dynamic prompt."


@mcp.tool
def test_trigger_prompt_change() -> str:
    """Add a prompt and remove it again."""
    mcp.add_prompt(test_dynamic_prompt)
    mcp.remove_prompt("test_dynamic_prompt")
    return "The list of prompts changed."


# Resources


@mcp.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text that never changes."""
    return "This is the content of the static text resource."


@mcp.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image that never changes."""
    return RED_PIXEL


@mcp.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A resource to subscribe to."""
    return "This is the content of the watched resource."


@mcp.resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> dict[str, Any]:
    """One record, by its id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


# Prompts and completion


@mcp.prompt
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@mcp.prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@mcp.prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt that carries a resource."""
    resource = ResourceContents(uri=resourceUri, mime_type="text/plain", text="Embedded resource content for testing.")
    return [Message(EmbeddedResource(resource=resource)), Message("Please process the embedded resource above.")]


@mcp.prompt
def test_prompt_with_image() -> list[Message]:
    """A prompt that carries an image."""
    return [Message(Image(data=RED_PIXEL, format="png")), Message("Please analyze the image above.")]


@mcp.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """A prompt that asks the user first."""
    answer = await ctx.elicit("What context should the prompt use?", response_type=PromptContext, key="user_context")
    return f"Use this context: {answer.data.context if answer.action == 'accept' else 'none'}"


@mcp.completion
async def complete(ref: Any, argument: Any, context: Any) -> list[str]:
    """Suggest values for an argument of a prompt or of a resource template."""
    known = {"arg1": ["testValue1", "testValue3"], "arg2": ["testValue2"], "id": ["123", "456"]}
    return [value for value in known.get(argument.name, []) if value.startswith(argument.value)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The tour, which is also the conformance suite's fixture.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    # With an event store, a client that lost its stream can go on where it was.
    mcp.run(
        transport="http",
        host=arguments.host,
        port=arguments.port,
        event_store=MemoryEventStore(),
        retry_interval=100,
    )


if __name__ == "__main__":
    main()
