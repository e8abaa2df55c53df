"""The notification service of a desktop: each notification is a line of JSON.

It owns org.freedesktop.Notifications on the session bus that DBUS_SESSION_BUS_ADDRESS names.
"""

import json

from jeepney import MessageType, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

connection = open_dbus_connection(bus="SESSION")
connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.Notifications"))
print("ready", flush=True)
last = 0
while True:
    call = connection.receive()
    if call.header.message_type != MessageType.method_call:
        continue
    application, replaces, icon, summary, body, actions, hints, expires = call.body
    last = replaces or last + 1
    connection.send(new_method_return(call, "u", (last,)))
    shown = {
        "application": application,
        "id": last,
        "replaces": replaces,
        "icon": icon,
        "summary": summary,
        "body": body,
        "actions": actions,
        "hints": {name: value for name, (_, value) in hints.items()},
        "expires": expires,
    }
    print(json.dumps(shown), flush=True)
