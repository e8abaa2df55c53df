#!/usr/bin/env python3
"""Makes vectors.json: delegations that the PyPI package stellar-sdk signed, raw and as messages (SEP-53).

    pip install stellar-sdk==16.1.1
    python3 make.py > vectors.json
"""

import base64
import json

from stellar_sdk import Keypair

OWNER, DEVICE, OTHER = (Keypair.from_raw_ed25519_seed(bytes([seed]) * 32) for seed in (0x21, 0x22, 0x23))


def text(may, limits, begin="2026-01-01T00:00:00Z", end="2026-02-01T00:00:00Z", identifier=bytes(range(16))):
    lines = ["hvym-tunnel delegation v2", f"owner: {OWNER.public_key}", f"key: {DEVICE.public_key}", f"may: {may}"]
    lines += limits + [f"from: {begin}", f"until: {end}"]
    lines.append("id: " + base64.urlsafe_b64encode(identifier).decode().rstrip("="))
    return "\n".join(lines)


TEXTS = {
    "both scopes, no limits": text("agent,call", []),
    "an agent of two services at one relay": text("agent", ["services: web,api", "relay: tunnel.example:8443"]),
    "a caller of one service": text("call", ["services: db"]),
    "a leap year": text("call", ["relay: tunnel.example"], "2028-02-29T00:00:00Z", "2029-03-01T00:00:00Z", b"\xff" * 16),
}


def vector(name, message, form, signature, good):
    return {"name": name, "text": message, "form": form, "signature_hex": signature.hex(), "good": good}


def main():
    vectors = []
    for name, message in TEXTS.items():
        raw, sep53 = OWNER.sign(message.encode()), OWNER.sign_message(message)
        vectors.append(vector(f"{name}, raw", message, "raw", raw, True))
        vectors.append(vector(f"{name}, as a message", message, "sep53", sep53, True))
        vectors.append(vector(f"{name}, raw taken for a message", message, "sep53", raw, False))
        vectors.append(vector(f"{name}, a message taken for raw", message, "raw", sep53, False))
        other = OTHER.sign_message(message)
        vectors.append(vector(f"{name}, by another account", message, "sep53", other, False))
        line = OWNER.sign_message(message + "\n")
        vectors.append(vector(f"{name}, with a line feed at the end", message, "sep53", line, False))
    keys = {"owner": OWNER.public_key, "key": DEVICE.public_key}
    print(json.dumps({"made_by": "stellar-sdk 16.1.1", **keys, "vectors": vectors}, indent=1))


if __name__ == "__main__":
    main()
