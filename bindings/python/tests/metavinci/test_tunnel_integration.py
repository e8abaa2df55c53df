# tests/test_tunnel_integration.py

import pytest
from PyQt5.QtCore import QCoreApplication
from PyQt5.QtTest import QSignalSpy

from hvym_stellar import Stellar25519KeyPair
from stellar_sdk import Keypair

from metavinci.tunnel_worker import TunnelWorker, TunnelManager


@pytest.fixture
def app():
    """Create Qt application."""
    return QCoreApplication([])


@pytest.fixture
def wallet():
    return Stellar25519KeyPair(Keypair.random())


def test_tunnel_manager_no_wallet(app):
    """Test starting tunnel without wallet."""
    manager = TunnelManager()
    result = manager.start_tunnel()
    assert result == False


def test_tunnel_manager_with_wallet(app, wallet):
    """Test tunnel manager initialization."""
    manager = TunnelManager()
    manager.set_wallet(wallet)

    assert manager._wallet == wallet
