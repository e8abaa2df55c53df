import os
import stat

import pytest

import hvym_tunnel
from support import visit
from hvym_tunnel import Identity, wallet



def test_a_seed_a_secret_and_a_file_are_the_same_identity(tmp_path):
    identity = Identity.from_seed(bytes(range(32)))
    path = tmp_path / "identity"
    identity.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert Identity.load(path) == identity
    assert Identity.from_secret(path.read_text().strip()) == identity
    assert hash(Identity.load(path)) == hash(identity)
    assert identity != Identity.generate()


def test_a_file_is_not_replaced_unless_it_is_said(tmp_path):
    path = tmp_path / "identity"
    Identity.generate().save(path)
    with pytest.raises(hvym_tunnel.IdentityError) as refused:
        Identity.generate().save(path)
    assert refused.value.code == "identity_exists"
    other = Identity.generate()
    other.save(path, replace=True)
    assert Identity.load(path) == other


def test_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "identity"
    Identity.generate().save(path)
    path.chmod(0o644)
    with pytest.raises(hvym_tunnel.IdentityError) as refused:
        Identity.load(path)
    assert refused.value.code == "identity_too_open"


@pytest.mark.parametrize("wrong", ["", "hunter2", "S" * 56])
def test_what_is_no_secret_is_not_repeated(wrong):
    with pytest.raises(hvym_tunnel.IdentityError) as refused:
        Identity.from_secret(wrong)
    assert refused.value.code == "not_a_secret"
    assert not wrong or wrong not in str(refused.value)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_has_32_bytes(length):
    with pytest.raises(hvym_tunnel.InvalidSettings):
        Identity.from_seed(bytes(length))


def test_nothing_that_is_printed_holds_the_secret(tmp_path):
    identity = Identity.from_seed(bytes(range(32)))
    path = tmp_path / "identity"
    identity.save(path)
    secret = path.read_text().strip()
    agent = hvym_tunnel.Agent("ws://localhost:1", {"web": "3000"}, identity=identity)
    for text in (repr(identity), str(identity), repr(agent), repr(vars(agent))):
        assert secret not in text


def test_the_same_seed_and_claims_give_the_same_token():
    identity = Identity.from_seed(bytes(range(32)))
    claims = {"issued_at": 1_800_000_000, "services": ["pintheon"], "challenge": "c"}
    token = identity.create_token(ADDRESS_OF_RELAY, **claims)
    assert token == identity.create_token(ADDRESS_OF_RELAY, **claims)
    assert token != identity.create_token(ADDRESS_OF_RELAY, **{**claims, "challenge": "d"})
    assert token.count(".") == 2


ADDRESS_OF_RELAY = Identity.from_seed(bytes(32)).address


class SignsOnly:
    """A wallet that shows nothing but its address and signatures."""

    def __init__(self, keypair):
        self.public_key = keypair.public_key
        self.sign = keypair.sign


def test_a_wallet_signs_the_same_token_as_its_secret_would():
    stellar = pytest.importorskip("stellar_sdk")
    keypair = stellar.Keypair.from_raw_ed25519_seed(bytes(range(32)))
    identity = Identity.from_seed(bytes(range(32)))
    claims = {"issued_at": 1_800_000_000, "services": ["pintheon", "ipfs"], "lifetime": 60.0}
    expected = identity.create_token(ADDRESS_OF_RELAY, **claims)
    assert wallet.token(keypair, ADDRESS_OF_RELAY, **claims) == expected
    assert wallet.token(SignsOnly(keypair), ADDRESS_OF_RELAY, **claims) == expected
    assert wallet.token(identity, ADDRESS_OF_RELAY, **claims) == expected


def test_the_token_is_the_one_that_existing_programs_make():
    stellar = pytest.importorskip("stellar_sdk")
    hvym_stellar = pytest.importorskip("hvym_stellar")
    keypair = hvym_stellar.Stellar25519KeyPair(stellar.Keypair.from_raw_ed25519_seed(bytes(range(32))))
    token = wallet.token(keypair, ADDRESS_OF_RELAY, services=["pintheon"], lifetime=60)
    verifier = hvym_stellar.StellarJWTTokenVerifier(token)
    assert verifier.valid(expected_audience=ADDRESS_OF_RELAY)
    assert verifier.get_claims()["sub"] == wallet.address(keypair)


def test_a_wallet_without_its_secret_delegates_and_serves(relay, origin):
    stellar = pytest.importorskip("stellar_sdk")
    keypair = stellar.Keypair.random()
    identity, delegation = wallet.identity(SignsOnly(keypair))
    assert delegation is not None and identity.address != keypair.public_key
    with hvym_tunnel.Agent(relay.url, {"web": str(origin)}, identity=identity, delegation=delegation) as agent:
        assert agent.address == keypair.public_key
        assert visit(agent.url)[0] == 200


def test_a_wallet_with_its_secret_is_its_own_identity():
    stellar = pytest.importorskip("stellar_sdk")
    keypair = stellar.Keypair.random()
    identity, delegation = wallet.identity(keypair)
    assert (identity.address, delegation) == (keypair.public_key, None)


def test_a_public_key_alone_is_asked_to_sign_and_cannot():
    stellar = pytest.importorskip("stellar_sdk")
    public = stellar.Keypair.from_public_key(stellar.Keypair.random().public_key)
    with pytest.raises(Exception):
        wallet.identity(public)
