"""The control endpoint: what tests need to control and observe beyond the AWS APIs.

    GET  /functions         the running bootstraps: [{"function", "pid", "busy"}]
    GET  /work              work in progress, which needs no move of the clock:
                            {"quiet", "messages", "batches", "executions"}
    GET  /log?since=N       the request log from entry N on, one JSON object per line
    GET  /clock             {"offset_ms"}
    POST /clock             {"advance_ms": n}; returns {"offset_ms"}
    POST /purge-log         clears the request log; the numbers of entries continue
    POST /aws-event         puts an event of an AWS service on the default bus, which no caller may do:
                            {"Source", "DetailType", "Resources", "Detail"}
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class ControlServer(ThreadingHTTPServer):
    """`functions` lists the running bootstraps, `work` describes work in progress, `advance` moves the clock, and `emit`
    puts an event of an AWS service on the default bus."""

    daemon_threads = True

    def __init__(self, log, clock, functions, work, advance, emit):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = log
        self.clock = clock
        self.functions = functions
        self.work = work
        self.advance = advance
        self.emit = emit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and delayed acknowledgements together cost 40 ms per answer.
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/functions":
            self._answer_json(self.server.functions())
        elif url.path == "/work":
            self._answer_json(self.server.work())
        elif url.path == "/log":
            since = int(parse_qs(url.query).get("since", ["0"])[0])
            self._answer(200, "application/x-ndjson", self.server.log.lines_since(since))
        elif url.path == "/clock":
            self._answer_json({"offset_ms": self.server.clock.offset_ms})
        else:
            self._answer(404, "text/plain", "no such path\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/clock":
            self._answer_json({"offset_ms": self.server.advance(int(json.loads(body)["advance_ms"]))})
        elif self.path == "/aws-event":
            self.server.emit(json.loads(body))
            self._answer_json({})
        elif self.path == "/purge-log":
            self.server.log.purge()
            self._answer_json({})
        else:
            self._answer(404, "text/plain", "no such path\n")

    def _answer_json(self, value):
        self._answer(200, "application/json", json.dumps(value))

    def _answer(self, status, content_type, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
