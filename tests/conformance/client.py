"""The client that the official conformance suite drives: ``client.py URL``, with the scenario in the environment.

A scenario that serves something a client must refuse passes only where the client does refuse it: each of those
asserts the error, and every scenario ends with exit code 0.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from headrace import Client
from headrace.client.auth import ClientCredentials, EnterpriseManaged, OAuth, WorkloadIdentity
from headrace.client.oauth_callback import HeadlessCallback
from headrace.client.skills import list_skills, read_skill
from headrace.exceptions import ClientError
from headrace.protocol.types import ElicitRequestParams

__all__ = ["SCENARIOS"]

Scenario = Callable[[str], Coroutine[Any, Any, None]]
SECONDS = 20
METADATA_URL = "https://conformance-test.local/client-metadata.json"
SKILL = "skill://pdf-processing/SKILL.md"


def connect(url: str, **options: Any) -> Client:
    def fill(message: str, response_type: Any, params: ElicitRequestParams, context: Any) -> dict[str, Any]:
        fields = (params.requested_schema or {}).get("properties", {})
        return {"confirmed": True} if "confirmed" in fields else {}

    return Client(
        url,
        timeout=SECONDS,
        elicitation_handler=fill,
        sampling_handler=lambda messages, params, context: "sampled",
        roots=["file:///tmp"],
        **options,
    )


def context() -> dict[str, Any]:
    return msgspec.json.decode(os.environ["MCP_CONFORMANCE_CONTEXT"])


async def refused(work: Coroutine[Any, Any, None], why: str) -> None:
    try:
        await work
    except ClientError as error:
        said = str(error)
    else:
        said = "nothing was refused"
    assert why in said, said


async def initialize(url: str) -> None:
    async with connect(url) as client:
        await client.list_tools()


async def add_numbers(url: str) -> None:
    async with connect(url) as client:
        await client.list_tools()
        await client.call_tool("add_numbers", {"a": 5, "b": 3})


def calling(*names: str) -> Scenario:
    async def scenario(url: str) -> None:
        async with connect(url) as client:
            await client.list_tools()
            for name in names:
                await client.call_tool(name)

    return scenario


async def custom_headers(url: str) -> None:
    async with connect(url) as client:
        await client.list_tools()
        for call in context()["toolCalls"]:
            await client.call_tool(call["name"], call["arguments"])


async def every_tool(url: str) -> None:
    async with connect(url) as client:
        for tool in await client.list_tools():
            await client.call_tool(tool.name, dict.fromkeys(tool.input_schema["properties"], "x"))


async def echo_schema(url: str) -> None:
    async with connect(url) as client:
        schemas = {tool.name: tool.input_schema for tool in await client.list_tools()}
        await client.call_tool("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})


# Skills


async def only_list_skills(url: str) -> None:
    async with connect(url) as client:
        assert [skill.uri for skill in await list_skills(client)] == [SKILL]


def tampered(why: str) -> Scenario:
    async def read_all(client: Client) -> None:
        (entry,) = await list_skills(client)
        await (await read_skill(client, entry)).read_all()

    async def scenario(url: str) -> None:
        async with connect(url) as client:
            await refused(read_all(client), why)

    return scenario


# Authorization


async def use(url: str, auth: Any) -> None:
    async with connect(url, auth=auth) as client:
        for tool in (await client.list_tools())[:1]:
            await client.call_tool(tool.name)


def browser(**options: Any) -> OAuth:
    """What a user without a browser gives: the URL is followed by the program itself."""
    return OAuth(client_metadata_url=METADATA_URL, callback=HeadlessCallback(), **options)


async def log_in(url: str) -> None:
    await use(url, browser())


async def log_in_registered(url: str) -> None:
    given = context()
    await use(url, browser(**{name: given[name] for name in ("client_id", "client_secret", "issuer") if name in given}))


async def log_in_with_dpop(url: str) -> None:
    await use(url, browser(dpop=True))


def refusing(why: str) -> Scenario:
    async def scenario(url: str) -> None:
        await refused(use(url, browser()), why)

    return scenario


async def client_secret(url: str) -> None:
    given = context()
    await use(url, ClientCredentials(given["client_id"], given["client_secret"]))


async def client_key(url: str) -> None:
    given = context()
    key, algorithm = given["private_key_pem"], given["signing_algorithm"]
    await use(url, ClientCredentials(given["client_id"], private_key=key, algorithm=algorithm))


async def enterprise(url: str) -> None:
    given = context()
    auth = EnterpriseManaged(
        given["client_id"],
        given["client_secret"],
        idp_issuer=given["idp_issuer"],
        idp_token_endpoint=given["idp_token_endpoint"],
        idp_client_id=given["idp_client_id"],
        id_token=given["idp_id_token"],
    )
    await use(url, auth)


async def workload(url: str) -> None:
    given = context()
    await use(url, WorkloadIdentity(given["client_id"], given["valid_jwt"]))


SCENARIOS: dict[str, Scenario] = {
    "initialize": initialize,
    "tools_call": add_numbers,
    "elicitation-sep1034-client-defaults": calling("test_client_elicitation_defaults"),
    "sse-retry": calling("test_reconnection"),
    "request-metadata": initialize,
    "sep-2322-client-request-state": calling(
        "test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"
    ),
    "http-standard-headers": add_numbers,
    "http-custom-headers": custom_headers,
    "http-invalid-tool-headers": every_tool,
    "json-schema-ref-no-deref": initialize,
    "json-schema-2020-12-preservation": echo_schema,
    "sep-2640-client-no-prefetch": only_list_skills,
    "sep-2640-client-verify-digest": tampered("digest"),
    "sep-2640-client-verify-size": tampered("bytes"),
    "sep-2640-client-verify-frontmatter": tampered("front matter"),
    "auth/metadata-default": log_in,
    "auth/metadata-var1": log_in,
    "auth/metadata-var2": log_in,
    "auth/metadata-var3": log_in,
    "auth/basic-cimd": log_in,
    "auth/scope-from-www-authenticate": log_in,
    "auth/scope-from-scopes-supported": log_in,
    "auth/scope-omitted-when-undefined": log_in,
    "auth/scope-step-up": log_in,
    "auth/scope-retry-limit": refusing("answered 403"),
    "auth/token-endpoint-auth-basic": log_in,
    "auth/token-endpoint-auth-post": log_in,
    "auth/token-endpoint-auth-none": log_in,
    "auth/pre-registration": log_in_registered,
    "auth/2025-03-26-oauth-metadata-backcompat": log_in,
    "auth/2025-03-26-oauth-endpoint-fallback": log_in,
    "auth/resource-mismatch": refusing("is of another resource"),
    "auth/offline-access-scope": log_in,
    "auth/offline-access-not-supported": log_in,
    "auth/authorization-server-migration": log_in,
    "auth/iss-supported": log_in,
    "auth/iss-not-advertised": log_in,
    "auth/iss-supported-missing": refusing("does not say who sent it"),
    "auth/iss-wrong-issuer": refusing("is from another issuer"),
    "auth/iss-unexpected": refusing("is from another issuer"),
    "auth/iss-normalized": refusing("is from another issuer"),
    "auth/metadata-issuer-mismatch": refusing("is of another issuer"),
    "auth/client-credentials-jwt": client_key,
    "auth/client-credentials-basic": client_secret,
    "auth/enterprise-managed-authorization": enterprise,
    "auth/dpop": log_in_with_dpop,
    "auth/dpop-nonce": log_in_with_dpop,
    "auth/wif-jwt-bearer": workload,
}


if __name__ == "__main__":
    asyncio.run(SCENARIOS[os.environ["MCP_CONFORMANCE_SCENARIO"]](sys.argv[1]))
