"""Ready sampling handlers: `anthropic.AnthropicSamplingHandler`, `openai.OpenAISamplingHandler`.

They ask through the client that they are given, and import nothing of it; without one they make it from the
environment.
"""

from __future__ import annotations

__all__: list[str] = []
