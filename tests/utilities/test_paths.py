"""The modules that FastMCP users import, at the same paths: each is there with its names."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

# Of the modules in FastMCP 2.13's reference those are absent whose capability comes later: server.middleware,
# server.openapi, server.proxy, tools.tool_transform, utilities.openapi.
NAMES = {
    "exceptions": (
        "ClientError DisabledError FastMCPError InvalidSignature NotFoundError PromptError ResourceError ToolError "
        "ValidationError"
    ),
    "dependencies": "CallArgument CurrentContext CurrentFastMCP CurrentHeaders CurrentRequest Depends Progress",
    "mcp_config": "MCPConfig RemoteMCPServer StdioMCPServer infer_transport_type_from_url update_config_file",
    "settings": "Settings",
    "cli.cli": "app main",
    "cli.run": "command",
    "cli.install": "command",
    "client.auth": "BearerAuth ClientCredentialsOAuthProvider OAuth PrivateKeyJWTOAuthProvider",
    "client.client": "Client",
    "client.oauth_callback": "BrowserCallback",
    "client.sampling.handlers.anthropic": "AnthropicSamplingHandler",
    "client.sampling.handlers.openai": "OpenAISamplingHandler",
    "client.transports": (
        "FastMCPTransport MCPConfigTransport NodeStdioTransport NpxStdioTransport PythonStdioTransport SSETransport "
        "StdioTransport StreamableHttpTransport Transport UvStdioTransport UvxStdioTransport"
    ),
    "prompts.prompt": "Message Prompt PromptArgument PromptMessage",
    "prompts.prompt_manager": "PromptManager",
    "resources.resource": "FunctionResource Resource",
    "resources.resource_manager": "ResourceManager",
    "resources.template": "ResourceTemplate",
    "resources.types": "BinaryResource DirectoryResource FileResource HttpResource TextResource",
    "server.auth": "AccessToken AuthProvider RemoteAuthProvider StaticTokenVerifier TokenVerifier",
    "server.context": "Context",
    "server.dependencies": (
        "AccessToken get_access_token get_context get_http_headers get_http_request get_server get_session"
    ),
    "server.elicitation": "AcceptedElicitation CancelledElicitation DeclinedElicitation",
    "server.extensions": "MethodBinding ServerExtension",
    "server.http": (
        "RequestContextMiddleware StarletteWithLifespan StreamableHTTPASGIApp create_base_app create_sse_app "
        "create_streamable_http_app set_http_request"
    ),
    "server.lifespan": "lifespan",
    "server.server": "FastMCP",
    "server.sessions": "Session SessionId SessionProvider UserSession",
    "tools.tool": "FunctionTool Tool ToolResult",
    "tools.tool_manager": "ToolManager",
    "utilities.authorization": "AuthCheck AuthContext require_roles require_scopes restrict_tag run_auth_checks",
    "utilities.cli": "",
    "utilities.inspect": "FastMCPInfo ToolInfo format_info inspect_fastmcp",
    "utilities.lifespan": "combine_lifespans",
    "utilities.mcp_config": "",
    "utilities.mcp_server_config": "MCPServerConfig",
    "utilities.versions": "VersionSpec",
    "client.elicitation": "ElicitRequestParams ElicitResult ElicitationHandler create_elicitation_callback",
    "client.logging": "LogHandler LogMessage create_log_callback default_log_handler",
    "client.messages": "Message MessageHandler MessageHandlerT",
    "client.progress": "ProgressHandler default_progress_handler",
    "client.roots": "RootsHandler RootsList convert_roots_list create_roots_callback",
    "client.sampling": "ClientSamplingHandler SamplingHandler SamplingMessage SamplingParams create_sampling_callback",
    "server.low_level": "LowLevelServer Server ReadResourceContents",
    "utilities.auth": "parse_scopes",
    "utilities.components": "FastMCPComponent",
    "utilities.exceptions": "get_catch_handlers iter_exc",
    "utilities.http": "find_available_port",
    "utilities.json_schema": "compress_schema dereference_refs resolve_root_ref",
    "utilities.json_schema_type": "JSONSchema json_schema_to_type",
    "utilities.logging": "configure_logging get_logger temporary_log_level",
    "utilities.tests": (
        "asgi_client asgi_server caplog_for_fastmcp run_server_async run_server_in_process temporary_settings"
    ),
    "utilities.types": (
        "Audio ContentBlock FastMCPBaseModel File Image NotSet NotSetT create_function_without_params "
        "find_kwarg_by_type get_cached_typeadapter get_fn_name is_class_member_of_type issubclass_safe replace_type"
    ),
    "utilities.ui": (
        "create_button_group create_detail_box create_info_box create_logo create_page create_secure_html_response "
        "create_status_message"
    ),
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module: str) -> None:
    found = importlib.import_module(f"headrace.{module}")
    assert set(NAMES[module].split()) <= set(found.__all__)
    assert all(getattr(found, name) is not None for name in found.__all__)


def test_importing_them_sets_nothing_up() -> None:
    program = "\n".join(
        [
            "import logging, os, signal, warnings",
            "before = (dict(os.environ), list(logging.root.handlers), list(warnings.filters))",
            *(f"import headrace.{module}" for module in NAMES),
            "assert (dict(os.environ), list(logging.root.handlers), list(warnings.filters)) == before",
            "assert not logging.getLogger('headrace').handlers",
            "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL",
        ]
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
