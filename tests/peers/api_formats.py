"""Values of the formats that the description of a manager's API names, for schemathesis.

Whether a text is one of these, no pattern says: addresses have a checksum, and folders must be there.
"""

import base64
import binascii
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

# The version byte of public keys in Stellar's text form (SEP-23).
ACCOUNT = 6 << 3


def address(key: bytes) -> str:
    payload = bytes([ACCOUNT]) + key
    return base64.b32encode(payload + binascii.crc_hqx(payload, 0).to_bytes(2, "little")).decode()


addresses = st.binary(min_size=32, max_size=32).map(address)

TARGETS = [
    "3000",
    "localhost:3000",
    "https+insecure://127.0.0.1:8443",
    "h2c://[::1]:50051",
    "tcp://localhost:22",
    "unix:/run/app.sock",
    str(Path(__file__).parent),
]

schemathesis.openapi.format("stellar-address", addresses)
schemathesis.openapi.format("service-address", addresses.map(lambda owner: f"{owner}/web"))
schemathesis.openapi.format("tunnel-target", st.sampled_from(TARGETS))
schemathesis.openapi.format("relay-url", st.sampled_from(["tunnel.example", "ws://localhost:4896/connect"]))
schemathesis.openapi.format("socket-address", st.sampled_from(["127.0.0.1:0", "[::1]:0"]))
