"""The bytes that every language makes of a seed: those of the programs that wallets use, as they were recorded."""

import json
from pathlib import Path

import pytest

from hvym_tunnel import Identity, _native, wallet

GOLDEN = Path(__file__).resolve().parents[3] / "tests/golden"


def golden(path):
    return json.loads((GOLDEN / path).read_text(encoding="utf-8"))


KEYS = golden("hvym/hvym_keys.json")["keys"]
# What the package makes itself: its own issuer, no claims beside those of a login, and no token that is good for ever.
TOKENS = [
    vector
    for vector in golden("hvym/hvym_jwt_create.json")["vectors"]
    if "issuer" not in vector["args"]
    and set(vector["args"].get("claims", ())) <= {"challenge"}
    and vector["args"].get("expires_in", 3600)
]


# What the packages for other languages are held against, too.
IDENTITIES = golden("identity/vectors.json")["vectors"]


def test_there_are_recordings():
    assert len(KEYS) >= 5 and len(TOKENS) >= 7 and len(IDENTITIES) >= 3


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["name"])
def test_a_seed_is_the_recorded_identity(key, tmp_path):
    identity = Identity.from_seed(bytes.fromhex(key["seed_hex"]))
    assert identity.address == key["stellar_address"]
    assert identity.public_key.hex() == key["ed25519_public_hex"]
    assert identity == Identity.from_secret(key["stellar_secret"])
    identity.save(tmp_path / "identity")
    assert (tmp_path / "identity").read_text().strip() == key["stellar_secret"]


@pytest.mark.parametrize("vector", TOKENS, ids=lambda vector: vector["name"])
def test_a_seed_makes_the_recorded_token(vector):
    asked = vector["args"]
    claims = {"issued_at": vector["time"], "services": asked.get("services") or ["pintheon"]}
    claims["lifetime"] = asked.get("expires_in")
    claims["challenge"] = asked.get("claims", {}).get("challenge")
    identity = Identity.from_seed(bytes.fromhex(vector["seed_hex"]))
    assert identity.create_token(asked["audience"], **claims) == vector["jwt"]


@pytest.mark.parametrize("vector", IDENTITIES, ids=lambda vector: vector["seed_hex"][:8])
def test_a_seed_makes_the_bytes_that_it_makes_in_every_language(vector):
    identity = Identity.from_seed(bytes.fromhex(vector["seed_hex"]))
    assert (identity.address, identity) == (vector["address"], Identity.from_secret(vector["secret"]))
    claims = {key: vector[key] for key in ("issued_at", "services", "lifetime", "challenge")}
    assert _native.signing_input(identity.address, vector["audience"], **claims) == vector["signing_input"]
    assert identity.create_token(vector["audience"], **claims) == vector["token"]


def test_a_wallet_signs_the_recorded_bytes():
    stellar = pytest.importorskip("stellar_sdk")
    for vector in TOKENS[:1]:
        keypair = stellar.Keypair.from_raw_ed25519_seed(bytes.fromhex(vector["seed_hex"]))
        asked = {"services": ["pintheon"], "lifetime": 3600, "issued_at": vector["time"]}
        assert wallet.token(keypair, vector["args"]["audience"], **asked) == vector["jwt"]
