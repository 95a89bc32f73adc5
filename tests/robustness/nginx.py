"""nginx of the distribution in front of a server of ours, for the time of a test."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from ..conftest import missing

__all__ = ["nginx"]

SECONDS = 10.0
# A Unix socket, because nginx takes no free port by itself. It tells who the connection is, and goes on with its own
# connections to us, so that requests of many clients follow each other on one.
CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_header_timeout 5s; client_body_timeout 5s; lingering_timeout 1s; server_tokens off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream ours {{ server 127.0.0.1:{port}; keepalive 16; }}
  server {{
    listen unix:{folder}/socket;
    location / {{
      proxy_pass http://ours; proxy_http_version 1.1; proxy_request_buffering off; proxy_read_timeout 10s;
      proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header X-From $connection;
    }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(port: int) -> AsyncIterator[Path]:
    """The Unix socket where nginx listens, and passes on to `port` of the loopback interface."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("nginx, a package of the distribution")
    with tempfile.TemporaryDirectory(prefix="nginx") as name:  # paths of Unix sockets are short
        folder = Path(name)
        config, listens = folder / "nginx.conf", folder / "socket"
        config.write_text(CONFIG.format(folder=folder, port=port))
        process = await asyncio.create_subprocess_exec(
            *(program, "-e", "stderr", "-p", name, "-c", str(config)), stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        said = asyncio.get_running_loop().create_task(process.stderr.read())
        try:
            async with asyncio.timeout(SECONDS):
                while not listens.exists():
                    assert process.returncode is None, (await said).decode()
                    await asyncio.sleep(0.01)
            yield listens
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            await said
