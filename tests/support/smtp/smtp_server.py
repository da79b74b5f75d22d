#!/usr/bin/python3
"""A mail server (aiosmtpd) for tests: prints "ready PORT", then each mail that it took as one line of JSON.

smtp_server.py [--tls starttls|tls|none] [--cert PEM --key PEM] [--login USER PASSWORD]
Recipients: never@… is refused for good, later@… for now, trap@… only after its text.
"""
import argparse
import asyncio
import json
import logging
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

logging.disable(logging.CRITICAL)
parser = argparse.ArgumentParser()
parser.add_argument("--tls", choices=["starttls", "tls", "none"], default="none")
parser.add_argument("--cert")
parser.add_argument("--key")
parser.add_argument("--login", nargs=2)
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()

context = None
if options.cert:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("never@"):
            return "550 no such mailbox"
        if address.startswith("later@"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("trap@"):
            return "554 refused by content"
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data.login.decode() if session.authenticated else None,
            "host": session.host_name,
            "content": envelope.content.decode("ascii"),
        }), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = [data.login.decode(), data.password.decode()] == options.login
    return AuthResult(success=good, handled=False, auth_data=data)


def factory():
    return SMTP(Handler(),
                tls_context=context if options.tls == "starttls" else None,
                require_starttls=options.tls == "starttls",
                authenticator=authenticate if options.login else None,
                auth_required=bool(options.login),
                auth_require_tls=options.tls == "starttls")


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", options.port,
                                      ssl=context if options.tls == "tls" else None)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the test lets go
    server.close()


asyncio.run(serve())
