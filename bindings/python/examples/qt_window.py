"""A window that shows where a local service is reached, and whether it is.

    python qt_window.py wss://tunnel.example/connect G... 3000

It needs PyQt5, PyQt6 or PySide6, stellar-sdk, and the modules of hvym-tunnel-modules.
"""

import importlib
import sys

from stellar_sdk import Keypair
from tunnel_worker import TunnelManager, _core

widgets = importlib.import_module(_core.__name__.replace("QtCore", "QtWidgets"))


class Window(widgets.QWidget):
    def __init__(self, server_url, server_address, port):
        super().__init__()
        self.setWindowTitle("A tunnel")
        self.place, self.state = widgets.QLabel("not connected"), widgets.QLabel("disconnected")
        layout = widgets.QVBoxLayout(self)
        layout.addWidget(self.place)
        layout.addWidget(self.state)
        self.tunnel = TunnelManager(self)
        self.tunnel.set_wallet(Keypair.random())
        self.tunnel.set_server(server_url, server_address)
        self.tunnel.add_port_binding("pintheon", port)
        self.tunnel.state_changed.connect(self.state.setText)
        self.tunnel.endpoint_ready.connect(self.place.setText)
        self.tunnel.error.connect(self.state.setText)
        self.tunnel.start_tunnel()

    def closeEvent(self, event):
        self.tunnel.stop_tunnel()
        super().closeEvent(event)


def main(arguments):
    application = widgets.QApplication(arguments[:1])
    window = Window(arguments[1], arguments[2], int(arguments[3]))
    window.show()
    run = getattr(application, "exec", None) or application.exec_
    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
