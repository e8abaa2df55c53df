"""The same seed gives the same bytes here as in stellar-sdk, in Rust, in a browser and in Node.js."""

import json
from pathlib import Path

import pytest

from hvym_tunnel import Identity, wallet

GOLDEN = Path(__file__).parents[3] / "tests/golden/identity/vectors.json"
VECTORS = json.loads(GOLDEN.read_text(encoding="utf-8"))["vectors"]


class Signer:
    """A wallet that only signs, by a key that the golden file's tokens are made with."""

    def __init__(self, vector):
        self.vector = vector
        self.asked = []

    @property
    def address(self):
        return self.vector["address"]

    def sign(self, data):
        self.asked.append(data.decode("ascii"))
        return bytes(64)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["address"])
def test_a_seed_gives_the_same_address_and_token_as_in_other_programs(vector):
    identity = Identity.from_seed(bytes.fromhex(vector["seed_hex"]))
    assert identity.address == vector["address"]
    assert identity == Identity.from_secret(vector["secret"])
    asked = {name: vector[name] for name in ("services", "lifetime", "challenge", "issued_at")}
    assert wallet.token(identity, vector["audience"], **asked) == vector["token"]
    signer = Signer(vector)
    wallet.token(signer, vector["audience"], **asked)
    assert signer.asked == [vector["signing_input"]]
