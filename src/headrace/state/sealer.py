"""Seals what travels through a client: AES-256-GCM under a key derived from the app's secret.

Without a secret the key is random per process, so a state sealed by one replica is foreign to the others: more than
one replica needs ``HEADRACE_SECRET_KEY``.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["AeadSealer"]

_NONCE_BYTES = 12


class AeadSealer:
    """`keys`: the first seals, each opens, so that one can take the place of another; without any, a random one."""

    def __init__(self, *keys: str | bytes, purpose: str = "request-state") -> None:
        given = [key.encode() if isinstance(key, str) else key for key in keys]
        self._secrets = given or [secrets.token_bytes(32)]
        self._purpose = purpose.encode()
        self._ciphers: list[AESGCM] = []

    def seal(self, plain: bytes) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._aeads()[0].encrypt(nonce, plain, self._purpose)).decode()

    def open(self, sealed: str) -> bytes | None:
        # The cipher's package is imported when the first question is asked, not before.
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(sealed.encode("ascii"), altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(data).decode() != sealed:
                return None  # another spelling of the same bytes: the last character has bits that do not count
        except (binascii.Error, UnicodeEncodeError, ValueError):
            return None
        for cipher in self._aeads():
            try:
                return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], self._purpose)
            except (ValueError, InvalidTag):
                continue
        return None

    def _aeads(self) -> list[AESGCM]:
        if not self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF

            info = b"headrace " + self._purpose
            derived = (HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key) for key in self._secrets)
            self._ciphers = [AESGCM(key) for key in derived]
        return self._ciphers
