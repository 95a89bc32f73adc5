"""Two spellings of a member: ours, and the wire's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

__all__ = ["Spelled"]


class Spelled(msgspec.StructMeta):
    """Classes that users make: they take the wire's spelling, and a constant member, as the official SDK's do.

    >>> Icon(src="i.png", mimeType="image/png"), TextContent(type="text", text="")
    """

    if not TYPE_CHECKING:  # type checkers know our spelling

        def __call__(cls, *args, **members):
            try:
                return super().__call__(*args, **members)
            except TypeError:
                if members.keys() <= set(cls.__struct_fields__):
                    raise
            names = dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
            config = cls.__struct_config__
            constants = {config.tag_field: config.tag, "result_type": getattr(cls, "result_type", None)}
            respelled = {names.get(name, name): value for name, value in members.items()}
            own = {name: value for name, value in respelled.items() if value is None or constants.get(name) != value}
            return super().__call__(*args, **own)
