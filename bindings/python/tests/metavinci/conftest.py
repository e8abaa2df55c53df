"""The tests beside this file are those of a desktop program, unchanged. They import the modules from its package."""

import sys
import types

import pytest

import tunnel_client

package = types.ModuleType("metavinci")
package.__path__ = []
sys.modules["metavinci"] = package
sys.modules["metavinci.tunnel_client"] = tunnel_client

try:
    import PyQt5.QtCore  # noqa: F401
except ImportError:
    collect_ignore = ["test_tunnel_integration.py"]
else:
    import tunnel_worker

    sys.modules["metavinci.tunnel_worker"] = tunnel_worker


@pytest.fixture(autouse=True)
def offscreen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
