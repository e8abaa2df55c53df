#!/usr/bin/env python3
"""The PyPI package hvym-stellar as a peer: one JSON command a line on stdin, one JSON answer a line on stdout.

  {"op": "create", "seed_hex": ..., "audience": ..., "services": [...]?, "expires_in": n?, "claims": {...}?} -> {"jwt": ...}
  {"op": "verify", "jwt": ..., "audience": ..., "issuer": ...?} -> {"ok": true, "claims": {...}} or {"ok": false, "error": ...}
  {"op": "sign_message", "seed_hex": ..., "text": ...} -> {"signature_hex": ...}, of stellar-sdk, as wallets sign (SEP-53)
  {"op": "verify_message", "address": ..., "text": ..., "signature_hex": ...} -> {"ok": true or false}
  anything that it cannot do                                                                    -> {"fault": ...}
"""

import json
import os
import sys

# This file is named like the package, and python looks beside the script first.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path = [path for path in sys.path if os.path.realpath(path) != HERE]

from hvym_stellar import Stellar25519KeyPair, StellarJWTToken, StellarJWTTokenVerifier
from stellar_sdk import Keypair


def create(command):
    seed = bytes.fromhex(command["seed_hex"])
    options = {key: command[key] for key in ("services", "expires_in", "claims") if key in command}
    keypair = Stellar25519KeyPair(Keypair.from_raw_ed25519_seed(seed))
    return {"jwt": StellarJWTToken(keypair, command["audience"], **options).to_jwt()}


def verify(command):
    try:
        claims = StellarJWTTokenVerifier(command["jwt"]).verify(
            expected_audience=command["audience"],
            expected_issuer=command.get("issuer", StellarJWTToken.DEFAULT_ISSUER),
        )
    except Exception as error:  # its verdict may be any exception, see hvym_jwt_verify.json
        return {"ok": False, "error": str(error)}
    return {"ok": True, "claims": claims}


def sign_message(command):
    keypair = Keypair.from_raw_ed25519_seed(bytes.fromhex(command["seed_hex"]))
    return {"signature_hex": keypair.sign_message(command["text"]).hex()}


def verify_message(command):
    keypair = Keypair.from_public_key(command["address"])
    try:
        keypair.verify_message(command["text"], bytes.fromhex(command["signature_hex"]))
    except Exception:
        return {"ok": False}
    return {"ok": True}


OPERATIONS = {"create": create, "verify": verify, "sign_message": sign_message, "verify_message": verify_message}


def main():
    for line in sys.stdin:
        try:
            command = json.loads(line)
            answer = OPERATIONS[command["op"]](command)
        except Exception as error:
            answer = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
