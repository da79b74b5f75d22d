#!/usr/bin/env python3
"""An HTTP server for tests: says 'ready PORT', then one line of JSON for each request that it got; ends with its standard input.

By path: /moved answers 302 to /taken, /status/N with N, /silent never, /endless without an end; anything else 204.
"""
import argparse
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = argparse.ArgumentParser()
arguments.add_argument('--port', type=int, default=0)
arguments.add_argument('--cert')
arguments.add_argument('--key')
options = arguments.parse_args()
ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        sys.stdout.write(json.dumps({'method': self.command, 'path': self.path, 'headers': {k.lower(): v for k, v in self.headers.items()}, 'body': body.decode('utf-8', 'replace')}) + '\n')
        sys.stdout.flush()
        self.close_connection = True
        if self.path == '/silent':
            ended.wait()
            return
        status = int(self.path[8:]) if self.path.startswith('/status/') else 302 if self.path == '/moved' else 200 if self.path == '/endless' else 204
        self.send_response(status)
        if status == 302:
            self.send_header('Location', '/taken')
        if self.path == '/endless':
            self.end_headers()
            try:
                while not ended.is_set():
                    self.wfile.write(b'x' * 65536)
            except OSError:
                pass
            return
        self.send_header('Content-Length', '0')
        self.end_headers()


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):  # a client that does not like the certificate
        pass


server = Server(('127.0.0.1', options.port), Handler)
server.daemon_threads = True
if options.cert:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('ready', server.server_address[1], flush=True)
sys.stdin.read()
ended.set()
