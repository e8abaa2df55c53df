#!/usr/bin/env python3
"""The PyPI package hvym-stellar as a peer: one JSON command a line on stdin, one JSON answer a line on stdout.

  {"op": "create", "seed_hex": ..., "audience": ..., "services": [...]?, "expires_in": n?, "claims": {...}?} -> {"jwt": ...}
  {"op": "verify", "jwt": ..., "audience": ..., "issuer": ...?} -> {"ok": true, "claims": {...}} or {"ok": false, "error": ...}
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


def main():
    for line in sys.stdin:
        try:
            command = json.loads(line)
            answer = {"create": create, "verify": verify}[command["op"]](command)
        except Exception as error:
            answer = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
