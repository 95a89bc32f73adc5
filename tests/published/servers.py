"""Servers that other people published on PyPI on top of `fastmcp`: one row each, and where they get installed.

The answers in the rows are those that FastMCP gives. None of these servers needs an account or the network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..conftest import missing

__all__ = ["SERVERS", "Call", "Published", "installed"]

INSTALL_SECONDS = 50.0
"""The longest that one server may take to download and install."""


@dataclass(frozen=True)
class Call:
    """One tools/call. ``{folder}`` in an argument or an answer stands for the server's working directory."""

    tool: str
    arguments: Mapping[str, Any]
    answer: str | Mapping[str, Any]
    """The text of the first block; or members that the JSON object in it has."""
    blocks: tuple[str, ...] = ("text",)
    is_error: bool = False


@dataclass(frozen=True)
class Published:
    """A server on PyPI: pinned, with the packages it needs besides FastMCP and what headrace is tested with."""

    package: str
    kind: str
    built_on: str
    """The FastMCP that it asks for."""
    script: str
    """The console script that its users start, and what they start it with (stdio)."""
    tools: frozenset[str]
    calls: tuple[Call, ...]
    read_only: frozenset[str] = frozenset()
    """The tools whose annotations say that they only read."""
    icon: bool = False
    """Whether the server shows one."""
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    http_arguments: tuple[str, ...] | None = None
    """What makes it serve Streamable HTTP on a free port of 127.0.0.1, with `http_environment`; None: it can't."""
    http_environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return self.package.partition("==")[0]


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SERVERS = (
    Published(
        "mcp-server-motherduck==1.1.0",
        kind="SQL on a local DuckDB",
        built_on="fastmcp>=4.0.11",
        script="mcp-server-motherduck",
        arguments=("--read-write",),
        http_arguments=("--read-write", "--transport", "http", "--port", "0"),
        needs=("duckdb==1.5.6", "pytz==2026.6"),
        tools=names("execute_query list_databases list_tables list_columns"),
        read_only=names("list_databases list_tables list_columns"),
        icon=True,
        calls=(
            Call("execute_query", {"sql": "CREATE OR REPLACE TABLE pond AS SELECT 6 * 7 AS ducks"}, {"success": True}),
            Call("execute_query", {"sql": "SELECT ducks FROM pond"}, {"columns": ["ducks"], "rows": [[42]]}),
            Call("list_tables", {"database": None}, {"database": "memory", "tableCount": 1}),
        ),
    ),
    Published(
        "office-word-mcp-server==1.1.11",
        kind="Word documents",
        built_on="fastmcp>=2.8.1",
        script="word_mcp_server",
        http_arguments=(),
        http_environment={"MCP_TRANSPORT": "streamable-http", "MCP_HOST": "127.0.0.1", "MCP_PORT": "0"},
        needs=(
            "docx2pdf==0.1.8",
            "lxml==6.1.3",
            "msoffcrypto-tool==6.1.0",
            "olefile==0.47",
            "python-docx==1.2.0",
            "python-dotenv==1.2.4",
            "tqdm==4.70.1",
        ),
        tools=names(
            """
            add_endnote_to_document add_footnote_after_text add_footnote_before_text add_footnote_enhanced
            add_footnote_robust add_footnote_to_document add_heading add_page_break add_paragraph add_picture add_table
            apply_table_alternating_rows auto_fit_table_columns convert_to_pdf copy_document create_custom_style
            create_document customize_footnote_style delete_footnote_from_document delete_footnote_robust
            delete_paragraph find_text_in_document format_table format_table_cell_text format_text get_all_comments
            get_comments_by_author get_comments_for_paragraph get_document_info get_document_outline get_document_text
            get_document_xml get_paragraph_text_from_document highlight_table_header insert_header_near_text
            insert_line_or_paragraph_near_text insert_numbered_list_near_text list_available_documents merge_table_cells
            merge_table_cells_horizontal merge_table_cells_vertical protect_document
            replace_block_between_manual_anchors replace_paragraph_block_below_header search_and_replace
            set_table_alignment_all set_table_cell_alignment set_table_cell_padding set_table_cell_shading
            set_table_column_width set_table_column_widths set_table_width unprotect_document
            validate_document_footnotes
            """
        ),
        read_only=names(
            """
            find_text_in_document get_all_comments get_comments_by_author get_comments_for_paragraph get_document_info
            get_document_outline get_document_text get_document_xml get_paragraph_text_from_document
            list_available_documents validate_document_footnotes
            """
        ),
        calls=(
            Call("create_document", {"filename": "a.docx", "title": "T"}, "Document a.docx created successfully"),
            Call(
                "add_heading",
                {"filename": "a.docx", "text": "Hello", "level": "1"},
                "Heading 'Hello' (level 1) added to a.docx",
            ),
            Call("add_paragraph", {"filename": "a.docx", "text": "World"}, "Paragraph added to a.docx"),
            Call("get_document_text", {"filename": "a.docx"}, "Hello\nWorld"),
        ),
    ),
    Published(
        "ai-device-fs==0.2.0",
        kind="files and images",
        built_on="fastmcp>=3.1.0,<4",
        script="mcp-server-fs",
        needs=("pillow==13.0.0", "python-dotenv==1.2.4"),
        tools=names("read_file read_image write_file edit_file insert_file apply_patch"),
        calls=(
            Call("write_file", {"path": "{folder}/b.txt", "content": "one\ntwo\n"}, {"success": True}),
            Call(
                "edit_file",
                {"path": "{folder}/b.txt", "edits": [{"oldText": "two", "newText": "deux"}]},
                {"success": True},
            ),
            Call(
                "read_file",
                {"path": "{folder}/b.txt", "type": "lines", "offset": 1, "limit": 1},
                {"content": "deux\n", "total_lines": 2},
            ),
            Call(
                "read_image",
                {"path": "{folder}/dot.png"},
                "Image dot.png: image/png, 1\u00d71, 69 bytes",
                ("text", "image"),
            ),
            Call("read_image", {"path": "{folder}/b.txt"}, {"success": False}, is_error=True),
        ),
    ),
    Published(
        "mcp-mathematics==2.3.1",
        kind="mathematics, with resources, prompts and elicitation",
        built_on="fastmcp>=0.1.0",
        script="mcp-mathematics",
        tools=names(
            """
            analyze_number_theory batch_calculate calculate_expression calculate_statistics clear_history
            convert_natural_language convert_units create_session delete_session get_calculation_history list_functions
            list_session_variables matrix_operation memory_statistics optimize_memory performance_metrics
            security_status session_calculate
            """
        ),
        calls=(
            Call("calculate_expression", {"expr": "sqrt(16)+2"}, {"success": True, "result": 6.0}),
            Call(
                "convert_units",
                {"value": 5, "from_unit": "km", "to_unit": "m", "unit_type": "length"},
                {"output_value": 5000.0},
            ),
            Call("matrix_operation", {"matrices": [[[1, 2], [3, 4]]], "operation": "determinant"}, {"result": -2.0}),
        ),
    ),
    Published(
        "mcp-code-editor==0.1.24",
        kind="code and processes",
        built_on="fastmcp>=2.8.0",
        script="mcp-code-editor",
        tools=names(
            """
            apply_diff_tool check_console_tool cleanup_terminated_processes_tool create_file_tool delete_file_tool
            get_code_definition index_library_tool list_console_processes_tool list_indexed_libraries_tool
            project_files_tool read_file_with_lines_tool search_library_tool send_to_console_tool
            setup_code_editor_tool start_console_process_tool terminate_console_process_tool
            """
        ),
        calls=(
            Call(
                "create_file_tool",
                {"path": "{folder}/src/mill.py", "content": "def turn(wheel: int) -> int:\n    return wheel + 1\n"},
                {"success": True},
            ),
            Call("setup_code_editor_tool", {"path": "{folder}/src"}, {"success": True}),
            Call("get_code_definition", {"identifier": "turn"}, {"success": True, "found": True}),
            Call("list_console_processes_tool", {}, {"success": True, "total_processes": 0}),
        ),
    ),
)


def installed(server: Published, cache: Path) -> Path:
    """The folder that the server is installed in, kept in `cache` for as long as its pins are the same.

    Nothing is resolved (``--no-deps``): FastMCP stays out. Without the registry the test is skipped, or fails in CI.
    """
    pins = [server.package, *server.needs]
    key = hashlib.sha256(" ".join([sys.version, *pins]).encode()).hexdigest()[:16]
    folder = cache / f"{server.name}-{key}"
    if folder.is_dir():
        return folder
    # Installed beside it and then moved, so that what is there is complete.
    unfinished = cache / f"{folder.name}.{os.getpid()}"
    options = [
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=1",
        "--no-deps",
        "--only-binary=:all:",
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, "--target", str(unfinished), *pins],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_SECONDS,
            text=True,
            check=False,
        )
        if done.returncode:
            missing(f"{server.package}, from PyPI: {done.stdout.strip().splitlines()[-1]}")
        unfinished.rename(folder)
    except subprocess.TimeoutExpired:
        missing(f"{server.package}, from PyPI: no answer within {INSTALL_SECONDS:.0f} s")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if (folder / "fastmcp").exists():
        pytest.fail(f"{server.package} brought FastMCP along")
    return folder
