#!/usr/bin/env python3
"""Makes vectors.json: key pairs, signatures and login tokens of fixed seeds, by the PyPI package stellar-sdk.

    pip install stellar-sdk==16.1.1
    python3 make.py > vectors.json
"""

import base64
import json

from stellar_sdk import Keypair

RELAY = Keypair.from_raw_ed25519_seed(b"\x44" * 32).public_key
ISSUED_AT = 1_767_225_600
LIFETIME = 600


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(pair, challenge, services):
    """A token as existing programs write it: compact JSON, in this order."""
    header = {"alg": "EdDSA", "typ": "JWT", "kid": pair.public_key}
    claims = {"iss": "hvym_tunnler", "sub": pair.public_key, "aud": RELAY, "iat": ISSUED_AT, "services": services}
    claims |= {"exp": ISSUED_AT + LIFETIME, "challenge": challenge}
    text = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return text, f"{text}.{base64url(pair.sign(text.encode()))}"


def vector(seed, services):
    pair = Keypair.from_raw_ed25519_seed(seed)
    challenge = base64url(seed[::-1])
    text, signed = token(pair, challenge, services)
    return {
        "seed_hex": seed.hex(),
        "secret": pair.secret,
        "address": pair.public_key,
        "message_hex": seed.hex() * 2,
        "signature_hex": pair.sign(seed * 2).hex(),
        "audience": RELAY,
        "issued_at": ISSUED_AT,
        "lifetime": LIFETIME,
        "challenge": challenge,
        "services": services,
        "signing_input": text,
        "token": signed,
    }


def main():
    vectors = [
        vector(bytes(32), []),
        vector(bytes(range(32)), ["web"]),
        vector(b"\xff" * 32, ["web", "caf\u00e9", "db-1"]),
    ]
    print(json.dumps({"made_by": "stellar-sdk 16.1.1", "vectors": vectors}, indent=1))


if __name__ == "__main__":
    main()
