#!/usr/bin/python3
"""A BlueZ for tests: python-dbusmock's bluez5 template with GATT objects beside it, on the bus of DBUS_SYSTEM_BUS_ADDRESS.
Arguments: FOLDER, the bus again, the first five bytes of the keys' addresses.

Reads one Python statement a line from standard input, runs it and answers "ok" or "error …". The functions below are there for it.
The descriptors of AcquireWrite and AcquireNotify end at the test: sockets FOLDER/write and FOLDER/notify, where it listens.
"""
import socket
import sys

import dbus
import dbus.mainloop.glib
import dbusmock
from dbusmock import mockobject
from gi.repository import GLib

TAIL = "-4c1d-4f0a-9a3e-5d2c8f61a7b4"
SERVICE, WRITE, NOTIFY, INFO = ("b7e9000%d%s" % (n, TAIL) for n in range(1, 5))
DEVICE, ADAPTER = "org.bluez.Device1", "org.bluez.Adapter1"
GATT_SERVICE, GATT_CHAR = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
HCI0 = "/org/bluez/hci0"

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
folder = sys.argv[1]
bus = dbus.SystemBus()
objects = mockobject.objects
name = dbus.service.BusName("org.bluez", bus, do_not_queue=True)
objects["/"] = dbusmock.DBusMockObject(name, "/", MANAGER, {}, folder + "/mock.log", True)
objects["/"].AddTemplate("bluez5", {})

mtu = 517
info_bytes = b""  # of the characteristic that is read
registered = []  # the adapters of applications, in the order of registration
unwilling = 0  # how many more registrations fail
refusal = None  # (error name, text) of AcquireNotify and AcquireWrite
answers = {}  # method name → what it answers instead


def end_of(name):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect(folder + "/" + name)
    return (dbus.types.UnixFd(peer), dbus.UInt16(mtu))


def acquire(name):
    if refusal:
        raise dbus.exceptions.DBusException(refusal[1], name=refusal[0])
    return answers[name] if name in answers else end_of(name)


def read_value(_self, _options):
    return answers.get("read", dbus.ByteArray(info_bytes))


def acquire_write(_self, _options):
    return acquire("write")


def acquire_notify(_self, _options):
    return acquire("notify")


def register_application(adapter, _path, _options):
    global unwilling
    if unwilling:
        unwilling -= 1
        raise dbus.exceptions.DBusException("Failed", name="org.bluez.Error.Failed")
    registered.append(adapter.path.rsplit("/", 1)[1])


def wait_for(condition):
    while not condition():
        GLib.MainContext.default().iteration(True)


def wait_registered(count):
    wait_for(lambda: len(registered) >= count)


def added(path):
    obj = objects[path]
    objects["/"].EmitSignal(MANAGER, "InterfacesAdded", "oa{sa{sv}}", [dbus.ObjectPath(path), obj.props])


def removed(path, *interfaces):
    objects[path].RemoveObject(path)
    objects["/"].EmitSignal(MANAGER, "InterfacesRemoved", "oas", [dbus.ObjectPath(path), list(interfaces)])


def change(path, interface, **properties):
    objects[path].UpdateProperties(interface, properties)


def raw(path, interface, signal, signature, *args):
    objects[path].EmitSignal(interface, signal, signature, list(args))


def adapter(name="hci0"):
    objects["/"].AddAdapter(name, name)
    objects["/org/bluez/" + name].AddMethods("org.bluez.GattManager1",
                                             [("RegisterApplication", "oa{sv}", "", register_application)])


def key(number=1, bonded=True, hci="hci0"):
    """A key that BlueZ knows, away. Returns its path."""
    path = objects["/"].AddDevice(hci, "%s:%02X" % (sys.argv[3], number), "Key %d" % number)
    objects[path].props[DEVICE]["Bonded"] = dbus.Boolean(False, variant_level=1)  # which the template does not know
    change(path, DEVICE, UUIDs=dbus.Array([SERVICE], signature="s"), Paired=dbus.Boolean(bonded),
           Bonded=dbus.Boolean(bonded))
    return path


def gatt(path):
    service = path + "/service0010"
    if service in objects:
        return
    objects["/"].AddObject(service, GATT_SERVICE, {"UUID": SERVICE, "Device": dbus.ObjectPath(path), "Primary": True}, [])
    added(service)
    for at, uuid, flags, methods in (
            ("11", WRITE, ["write", "write-without-response"], [("AcquireWrite", "a{sv}", "hq", acquire_write)]),
            ("14", NOTIFY, ["notify"], [("AcquireNotify", "a{sv}", "hq", acquire_notify)]),
            ("17", INFO, ["read"], [("ReadValue", "a{sv}", "ay", read_value)])):
        char = service + "/char00" + at
        objects["/"].AddObject(char, GATT_CHAR, {"UUID": uuid, "Service": dbus.ObjectPath(service),
                                                 "Flags": dbus.Array(flags, signature="s")}, methods)
        added(char)


def near(path):
    change(path, DEVICE, Connected=dbus.Boolean(True))
    gatt(path)
    change(path, DEVICE, ServicesResolved=dbus.Boolean(True))


def away(path):
    change(path, DEVICE, ServicesResolved=dbus.Boolean(False), Connected=dbus.Boolean(False))


asked = []  # of keys that are kept: "Connect", "Disconnect"
mute = False  # whether "Connect" does not signal that it has connected, as BlueZ 5.66 at times
deaf = 0  # how many times "Connect" fails


def kept(path):
    """Lets Connect and Disconnect do what they do. Connect fails while `deaf`."""
    def connect(device):
        global deaf
        asked.append("Connect")
        if deaf:
            deaf -= 1
            raise dbus.exceptions.DBusException("le-connection-abort-by-local", name="org.bluez.Error.Failed")
        gatt(device.path)
        if mute:
            device.props[DEVICE]["Connected"] = dbus.Boolean(True)
            change(device.path, DEVICE, ServicesResolved=dbus.Boolean(True))
        else:
            change(device.path, DEVICE, Connected=dbus.Boolean(True), ServicesResolved=dbus.Boolean(True))

    def disconnect(device):
        asked.append("Disconnect")
        away(device.path)
    objects[path].AddMethods(DEVICE, [("Connect", "", "", connect), ("Disconnect", "", "", disconnect)])


def heard_once(path):
    """The device is heard only when discovery begins, and its RSSI taken back at once."""
    def start(_adapter):
        change(path, DEVICE, RSSI=dbus.Int16(-40))
        raw(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, {}, ["RSSI"])
    raw(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, {}, ["RSSI"])
    objects[HCI0].AddMethods(ADAPTER, [("StartDiscovery", "", "", start)])


def power(on, hci="hci0"):
    change("/org/bluez/" + hci, ADAPTER, Powered=dbus.Boolean(on))


def service_ends():
    bus.release_name("org.bluez")


def service_begins():
    bus.request_name("org.bluez")


def stranger_says(path, signature, *args):
    """PropertiesChanged from somebody who is not BlueZ, to everybody who can be told."""
    stranger = dbus.bus.BusConnection(sys.argv[2])
    for name in stranger.list_names():
        if name.startswith(":"):
            message = dbus.lowlevel.SignalMessage(path, PROPERTIES, "PropertiesChanged")
            message.set_destination(name)
            message.append(signature=signature, *args)
            stranger.send_message(message)
    stranger.flush()


def pairing(question):
    """Device1.Pair that asks the agent by `question`: (method, signature, arguments after the device), or nobody."""
    def pair(device):
        if question:
            method, signature, *args = question
            for name in bus.list_names():
                if not name.startswith(":") or name == bus.get_unique_name():
                    continue
                try:
                    bus.call_blocking(name, "/org/keyferry/agent", "org.bluez.Agent1", method, signature,
                                      [dbus.ObjectPath(device.path)] + args)
                    break
                except dbus.exceptions.DBusException as error:
                    if "Rejected" in error.get_dbus_name():
                        raise dbus.exceptions.DBusException("Rejected", name="org.bluez.Error.AuthenticationRejected")
        device.UpdateProperties(DEVICE, {"Paired": dbus.Boolean(True), "Bonded": dbus.Boolean(True)})
    for path, obj in objects.items():
        if DEVICE in obj.props:
            obj.AddMethods(DEVICE, [("Pair", "", "", pair), ("CancelPairing", "", "", "")])


NOTICES = "org.freedesktop.Notifications"
shown = []  # of each notice: title, text, buttons
taken_back = []


def desktop(answer, capabilities=("body", "actions")):
    """A desktop on which somebody presses the button `answer`, closes the notice ("close") or does nothing (None)."""
    obj = dbusmock.DBusMockObject(dbus.service.BusName(NOTICES, bus), "/org/freedesktop/Notifications", NOTICES, {},
                                  folder + "/desktop.log")

    def react():
        # One of somebody else's first.
        obj.EmitSignal(NOTICES, "ActionInvoked", "us", [dbus.UInt32(1), "yes"])
        if answer == "close":
            obj.EmitSignal(NOTICES, "NotificationClosed", "uu", [dbus.UInt32(7), dbus.UInt32(2)])
        elif answer:
            obj.EmitSignal(NOTICES, "ActionInvoked", "us", [dbus.UInt32(7), answer])
        return False

    def notify(_self, _app, _replaces, _icon, title, text, buttons, _hints, _expire):
        shown.append((str(title), str(text), [str(b) for b in buttons]))
        GLib.idle_add(react)
        return dbus.UInt32(7)

    def close(_self, number):
        taken_back.append(int(number))

    obj.AddMethods(NOTICES, [("GetCapabilities", "", "as", "ret = %r" % list(capabilities)),
                             ("Notify", "susssasa{sv}i", "u", notify), ("CloseNotification", "u", "", close)])


def chatter():
    """From now on the adapter says something about itself all the time."""
    def say():
        for length in range(20):
            objects[HCI0].EmitSignal(PROPERTIES, "PropertiesChanged", "sa{sv}as",
                                     [ADAPTER, {"Powered": dbus.Boolean(True), "Alias": dbus.String("x" * length)}, dbus.Array([], signature="s")])
        return True

    GLib.timeout_add(1, say)


def line(source, _condition):
    text = source.readline()
    if not text:
        loop.quit()
        return False
    try:
        exec(text, globals())
        print("ok", flush=True)
    except Exception as error:  # told to the test, which fails with it
        print("error", repr(error), flush=True)
    return True


loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, line)
print("ok", flush=True)
loop.run()
