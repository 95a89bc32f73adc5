"""Seals what travels through a client: AES-256-GCM under a key derived from the app's secret.

Without a secret the key is random per process, so a state sealed by one replica is foreign to the others: more than
one replica needs ``HEADRACE_SECRET_KEY``.
"""

from __future__ import annotations

import base64
import binascii
import secrets

__all__ = ["AeadSealer"]

_NONCE_BYTES = 12


class AeadSealer:
    def __init__(self, secret: str | None = None, *, purpose: str = "request-state") -> None:
        self._secret = secret.encode() if secret else secrets.token_bytes(32)
        self._purpose = purpose.encode()
        self._cipher = None

    def seal(self, plain: bytes) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._aead().encrypt(nonce, plain, self._purpose)).decode()

    def open(self, sealed: str) -> bytes | None:
        # The cipher's package is imported when the first question is asked, not before.
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(sealed.encode("ascii"), altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(data).decode() != sealed:
                return None  # another spelling of the same bytes: the last character has bits that do not count
            return self._aead().decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], self._purpose)
        except (binascii.Error, UnicodeEncodeError, ValueError, InvalidTag):
            return None

    def _aead(self):
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF

            key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"headrace " + self._purpose).derive(self._secret)
            self._cipher = AESGCM(key)
        return self._cipher
