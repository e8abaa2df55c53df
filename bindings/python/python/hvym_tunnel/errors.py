"""The exceptions of this package. Each has a ``code`` that programs may rely on; its text is for people and may change."""

from __future__ import annotations


class TunnelError(Exception):
    """Anything that goes wrong with a tunnel."""

    def __init__(self, message: str, code: str = "error") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[TunnelError], tuple[str, str]]:
        return type(self), (str(self), self.code)


class InvalidSettings(TunnelError, ValueError):
    """A setting is malformed, or contradicts another one."""


class IdentityError(TunnelError):
    """An identity cannot be read or written. The text never holds a secret."""


class RelayUnreachable(TunnelError, ConnectionError):
    """The relay cannot be reached, and the settings say not to try again."""


class AuthenticationFailed(TunnelError):
    """The relay does not take this identity or token, or is not the one that is expected."""


class ServiceRefused(TunnelError):
    """The relay does not take a service."""


class AgentEnded(TunnelError):
    """The agent has ended."""


class ForkedError(TunnelError):
    """The object belongs to the process that forked this one."""


class TunnelTimeout(TunnelError, TimeoutError):
    """Something took longer than it was allowed to."""


_BY_CODE: dict[str, type[TunnelError]] = {
    "invalid": InvalidSettings,
    "settings": InvalidSettings,
    "unsupported": InvalidSettings,
    "identity": IdentityError,
    "identity_not_found": IdentityError,
    "identity_too_open": IdentityError,
    "identity_exists": IdentityError,
    "not_a_secret": IdentityError,
    "unreachable": RelayUnreachable,
    "authentication": AuthenticationFailed,
    "clock": AuthenticationFailed,
    "not_allowed": AuthenticationFailed,
    "in_use": AuthenticationFailed,
    "wrong_relay": AuthenticationFailed,
    "service_refused": ServiceRefused,
    "taken_over": AgentEnded,
    "replaced": AgentEnded,
    "closed": AgentEnded,
    "forked": ForkedError,
    "timed_out": TunnelTimeout,
}


def from_code(code: str, message: str) -> TunnelError:
    """The exception for a code of the native module."""
    return _BY_CODE.get(code, TunnelError)(message, code)
