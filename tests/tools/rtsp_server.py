"""An RTSP camera on loopback, played from a file: ``rtsp://127.0.0.1:PORT/camera``.

Run by the Python that has GStreamer's bindings (Debian: python3-gst-1.0 and
gir1.2-gst-rtsp-server-1.0; glib-networking for TLS). Prints "ready" when it listens.

    /usr/bin/python3 rtsp_server.py PORT CLIP [--codec h264|hevc|mjpeg] [--user NAME:PASSWORD]
        [--record FILE] [--tls PEM]

With ``--record`` it takes what is published to ``/record`` and writes it into a Matroska file. With
``--tls`` it is ``rtsps://``; the file holds a certificate and its key.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

PAYLOADERS = {
    "h264": "h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "hevc": "h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "decodebin ! videoconvert ! jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def server_on(port: int) -> Any:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    return server


def playing(clip: Path, codec: str) -> Any:
    """Plays the clip to whoever comes, each from its beginning."""
    demuxer = "matroskademux" if clip.suffix == ".mkv" else "qtdemux"
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={clip} ! {demuxer} ! {PAYLOADERS[codec]} )")
    factory.set_shared(False)
    return factory


def recording(path: Path) -> Any:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( rtph264depay name=depay0 ! h264parse ! matroskamux streamable=true !"
        f" filesink location={path} )"
    )
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_latency(200)
    return factory


def encrypted(server: Any, pem: Path) -> None:
    """Speak TLS only."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(str(pem)))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "anonymous")
    auth.set_default_token(token)
    server.set_auth(auth)


def only_for(server: Any, factories: list[Any], name: str, password: str) -> None:
    """Let in only who knows the password."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, password), token)
    server.set_auth(auth)
    allow(factories, "user")


def allow(factories: list[Any], role: str) -> None:
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role(role, "media.factory.access", True)
        permissions.add_permission_for_role(role, "media.factory.construct", True)
        factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--codec", choices=tuple(PAYLOADERS), default="h264")
    parser.add_argument("--user")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--tls", type=Path)
    args = parser.parse_args()
    Gst.init(None)
    server = server_on(args.port)
    mounts = server.get_mount_points()
    factories = [playing(args.clip, args.codec)]
    mounts.add_factory("/camera", factories[0])
    if args.record:
        mounts.add_factory("/record", recording(args.record))
    if args.tls:
        encrypted(server, args.tls)
        allow(factories, "anonymous")
    if args.user:
        only_for(server, factories, *args.user.split(":", 1))
    if not server.attach(None):
        sys.exit(f"port {args.port} cannot be listened on")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
