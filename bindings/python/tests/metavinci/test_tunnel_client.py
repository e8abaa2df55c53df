# tests/test_tunnel_client.py

import pytest
import asyncio
from unittest.mock import Mock, patch

from hvym_stellar import Stellar25519KeyPair
from stellar_sdk import Keypair

from metavinci.tunnel_client import HVYMTunnelClient, TunnelConfig, TunnelState


@pytest.fixture
def wallet():
    """Create test wallet."""
    return Stellar25519KeyPair(Keypair.random())


@pytest.fixture
def config():
    """Create test config."""
    return TunnelConfig(
        server_url="wss://test.example.com/connect",
        server_address=Keypair.random().public_key
    )


def test_client_creation(wallet, config):
    """Test client initialization."""
    client = HVYMTunnelClient(wallet, config)
    assert client.state == TunnelState.DISCONNECTED
    assert client.stellar_address == wallet.base_stellar_keypair().public_key


def test_jwt_creation(wallet, config):
    """Test JWT token creation."""
    client = HVYMTunnelClient(wallet, config)
    jwt = client._create_jwt()

    # JWT should have 3 parts
    parts = jwt.split('.')
    assert len(parts) == 3


def test_port_binding(wallet, config):
    """Test port binding."""
    client = HVYMTunnelClient(wallet, config)
    client.bind_port("pintheon", 9998)

    assert "pintheon" in client._port_bindings
    assert client._port_bindings["pintheon"] == 9998


@pytest.mark.asyncio
async def test_disconnect(wallet, config):
    """Test disconnect."""
    client = HVYMTunnelClient(wallet, config)
    await client.disconnect()

    assert client.state == TunnelState.DISCONNECTED
