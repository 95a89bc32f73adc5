"""``HEADRACE_*`` settings: read when a program or an app is made, passed down, never read live.

What wins, first to last: a parameter in code, the process environment, a ``.env`` file, the default here.
Nothing is read at import; whoever makes a program or an app calls `Settings.load`.

The other functions are what the command line needs of the environment, which only this module reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = ["RATE", "Settings", "config_folder", "endpoint_path", "expanded", "export", "read_env_file", "variable"]

_PREFIX = "HEADRACE_"
_ENV_FILE = "HEADRACE_ENV_FILE"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_LOG_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
RATE = re.compile(r"([1-9][0-9]{0,8})/([smh])(?::([1-9][0-9]{0,8}))?")
"""How rate limits are written: ``state/rates.py`` says what they mean."""
_REFERENCE = re.compile(r"\$\{([^}]+)\}")


def _flag(text: str) -> bool:
    lower = text.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError("true or false")


def _whole(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    wanted = f"a whole number from {lowest}" + (f" to {highest}" if highest is not None else "")

    def parse(text: str) -> int:
        # isdecimal, since int() also takes "1_000" and " 7 ".
        if not (text.isascii() and text.isdecimal()):
            raise ValueError(wanted)
        number = int(text)
        if number < lowest or (highest is not None and number > highest):
            raise ValueError(wanted)
        return number

    return parse


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number of seconds above 0")
    return number


def endpoint_path(text: str) -> str:
    """The path, checked. Raises ValueError, which says what it must be."""
    if not text.startswith("/") or text.startswith("//") or "?" in text or "#" in text:
        raise ValueError("a path that begins with one slash, without ? or #")
    return text


def _level(text: str) -> str:
    upper = text.upper()
    if upper not in _LOG_LEVELS:
        raise ValueError("one of " + ", ".join(_LOG_LEVELS))
    return upper


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        lower = text.lower()
        if lower not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return lower

    return parse


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _word(text: str) -> str:
    if not text:
        raise ValueError("a value")
    return text


def _rate(text: str) -> str:
    if not RATE.fullmatch(text):
        raise ValueError("like 10/s, 600/m or 10/s:50")
    return text


def _key(text: str) -> str:
    # Shorter ones can be guessed; 32 characters is what `secrets.token_hex(16)` gives.
    if len(text) < 32:
        raise ValueError("at least 32 characters")
    return text


def _setting(default: Any, parse: Callable[[str], Any], *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "secret": secret}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults; ``HEADRACE_`` and the name in capitals is the variable."""

    transport: str = _setting("stdio", _one_of("stdio", "http", "streamable-http", "sse"))
    """What `run` serves on when the caller does not say."""
    host: str = _setting("127.0.0.1", _word)
    port: int = _setting(8000, _whole(0, 65535))
    """0 is any free port."""
    streamable_http_path: str = _setting("/mcp", endpoint_path)
    sse_path: str = _setting("/sse", endpoint_path)
    message_path: str = _setting("/messages/", endpoint_path)
    json_response: bool = _setting(False, _flag)
    """Answer in JSON only; notes of a call are dropped."""
    stateless_http: bool = _setting(False, _flag)
    debug: bool = _setting(False, _flag)
    log_level: str = _setting("INFO", _level)
    """In capitals, as `logging` names them."""
    allowed_hosts: tuple[str, ...] = _setting((), _names)
    """Empty: only loopback connections are checked."""
    allowed_origins: tuple[str, ...] = _setting((), _names)
    max_body_bytes: int = _setting(4 * 1024 * 1024, _whole(1))
    session_idle_timeout: float = _setting(1800.0, _seconds)
    """Seconds."""
    max_sessions: int = _setting(10_000, _whole(1))
    max_sessions_per_client: int = _setting(100, _whole(1))
    """Of one principal, or of one address (IPv6: /64) where nobody authenticated."""
    rate_limit: str | None = _setting(None, _rate)
    """HTTP requests of one principal or address, as in ``100/s`` or ``600/m:50`` (a burst of 50). None: no limit."""
    secret_key: str | None = _setting(None, _key, secret=True)
    """Seals what travels through clients; None: one key per process, so only one process can serve."""
    mask_error_details: bool = _setting(False, _flag)
    show_banner: bool = _setting(True, _flag)
    """Whether `run` prints its start-up line."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, env_file: str | Path | None = "") -> Settings:
        """Settings from the environment (`os.environ` unless given) and a file of ``NAME=value`` lines.

        `env_file` "": the file that ``HEADRACE_ENV_FILE`` names, which then has to be there, or else ``.env``; None:
        no file. A missing file and an empty value count as not set; a relative file is looked up in the working
        directory. Unknown ``HEADRACE_*`` names are left alone: orchestrators invent such (``HEADRACE_SERVICE_HOST``).

        Raises ValueError, one line that names the variable, for a value that does not fit.
        """
        environ = os.environ if environ is None else environ
        if env_file == "":
            env_file = environ.get(_ENV_FILE, "").strip() or ".env"
            if env_file != ".env" and not Path(env_file).is_file():
                raise ValueError(f"{_ENV_FILE} must be a file that is there, got {env_file!r}")
        found: dict[str, str] = {} if env_file is None else dict(read_env_file(env_file))
        found.update(environ)
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = _PREFIX + each.name.upper()
            text = found.get(variable, "").strip()
            if not text:
                continue
            try:
                values[each.name] = each.metadata["parse"](text)
            except ValueError as error:
                got = "a value that does not fit" if each.metadata["secret"] else repr(text)
                raise ValueError(f"{variable} must be {error}, got {got}") from None
        return cls(**values)


def read_env_file(path: str | Path, prefix: str = _PREFIX) -> dict[str, str]:
    """The ``NAME=value`` lines of a file whose names begin with `prefix`; `{}` when there is no file.

    A leading ``export``, one pair of quotes around the value and comments are understood; nothing is expanded.
    Other lines are not looked at: the file is shared with other programs and their dialects.
    Raises ValueError, naming file and line, for such a line without a value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().removeprefix("export ").lstrip()
        if not stripped.startswith(prefix) or not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals:
            raise ValueError(f"{path}:{number}: expected NAME=value")
        values[name.rstrip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    # A comment after an unquoted value begins with a blank, so that `#` may stand in a value.
    return value.partition(" #")[0].rstrip()


def variable(name: str) -> str | None:
    """A variable of the process environment that is not empty, or None."""
    return os.environ.get(name) or None


def config_folder() -> Path:
    """Where this program keeps what is the user's; it may not exist yet. ``HEADRACE_HOME`` names another place."""
    given = variable(f"{_PREFIX}HOME")
    if given:
        return Path(given).expanduser()
    base = variable("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "headrace"


def export(variables: Mapping[str, str]) -> None:
    """Put variables into the process environment, for this process and those it starts."""
    os.environ.update(variables)


def expanded(text: str) -> str:
    """The text with ``${NAME}`` replaced from the process environment; what is not set stays as it is."""
    return _REFERENCE.sub(lambda match: os.environ.get(match[1], match[0]), text)


def __getattr__(name: str) -> Any:
    # FastMCP has one live object of settings here, so `fastmcp.settings.port` is what people write.
    if name in Settings.__dataclass_fields__:
        raise AttributeError(
            f"headrace.settings is a module, and settings are never live: read Settings.load().{name} from it, "
            f"or set {_PREFIX}{name.upper()} before the program starts"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
