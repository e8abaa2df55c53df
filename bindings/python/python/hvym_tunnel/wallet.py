"""Stellar wallets of other libraries: their address, their signature, and an identity that acts for them.

A wallet is a ``Stellar25519KeyPair`` of hvym-stellar, a ``Keypair`` of stellar-sdk, or any object with ``public_key`` (or
``address``) and ``sign(bytes) -> bytes``. One that only signs is asked once for each start, for a delegation to a key that lives
as long as the agent; older relays do not know delegations.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

from . import _native
from ._native import Identity
from .errors import InvalidSettings

# How long a delegation is good, seconds: longer than an agent runs between two starts, and at most what a relay takes.
DELEGATION_LIFETIME = 30 * 86_400
# How far the clock of the relay may be behind, seconds.
CLOCK_SKEW = 300


def _keypair(wallet: Any) -> Any:
    base = getattr(wallet, "base_stellar_keypair", None)
    return base() if callable(base) else wallet


def address(wallet: Any) -> str:
    """The address, ``G...``."""
    if isinstance(wallet, Identity):
        return wallet.address
    pair = _keypair(wallet)
    for name in ("public_key", "address"):
        value = getattr(pair, name, None)
        value = value() if callable(value) else value
        if isinstance(value, str):
            return value
    raise InvalidSettings("a wallet has an address: its public_key", "invalid")


def sign(wallet: Any, data: bytes) -> bytes:
    """The Ed25519 signature of ``data``."""
    signature = _keypair(wallet).sign(data)
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise InvalidSettings("a wallet's sign() gives the 64 bytes of an Ed25519 signature", "invalid")
    return signature


def token(
    wallet: Any,
    audience: str,
    *,
    services: Sequence[str],
    lifetime: float | None = None,
    challenge: str | None = None,
    issued_at: int | None = None,
) -> str:
    """The login token of a wallet for a relay, signed by the wallet."""
    issued_at = int(time.time()) if issued_at is None else issued_at
    asked: dict[str, Any] = {"issued_at": issued_at, "services": list(services), "lifetime": lifetime, "challenge": challenge}
    if isinstance(wallet, Identity):
        return wallet.create_token(audience, **asked)
    text = _native.signing_input(address(wallet), audience, **asked)
    signature = base64.urlsafe_b64encode(sign(wallet, text.encode("ascii"))).rstrip(b"=")
    return f"{text}.{signature.decode('ascii')}"


def identity(wallet: Any) -> tuple[Identity, tuple[str, bytes] | None]:
    """An identity for an agent of this wallet, and the delegation by which it acts if the wallet does not show its secret."""
    if isinstance(wallet, Identity):
        return wallet, None
    pair = _keypair(wallet)
    try:
        secret = pair.secret
    except Exception:
        # A key pair without its secret half says so by an error.
        secret = None
    if isinstance(secret, str):
        return Identity.from_secret(secret), None
    made, now = Identity.generate(), int(time.time())
    text = made.delegation_text(address(wallet), now - CLOCK_SKEW, now + DELEGATION_LIFETIME)
    return made, (text, sign(wallet, text.encode("utf-8")))
