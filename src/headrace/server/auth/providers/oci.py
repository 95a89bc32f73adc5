"""Oracle Cloud Infrastructure, identity domains."""

from __future__ import annotations

from typing import Unpack

from ..oauth_proxy import ProxyOptions
from ..oidc_proxy import OIDCProxy

__all__ = ["OCIProvider"]


class OCIProvider(OIDCProxy):
    """`config_url` of the identity domain: ``https://idcs-....identity.oraclecloud.com/.well-known/...``."""

    def __init__(
        self,
        *,
        config_url: str,
        client_id: str,
        client_secret: str,
        base_url: str,
        audience: str | None = None,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        super().__init__(
            config_url=config_url,
            client_id=client_id,
            client_secret=client_secret,
            base_url=base_url,
            audience=audience,
            # Its domains all name one issuer, which is not the place of their configuration.
            strict=False,
            required_scopes=["openid"] if required_scopes is None else required_scopes,
            **options,
        )
