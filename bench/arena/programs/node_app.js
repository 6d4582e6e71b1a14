// The arena's routes on node's http module.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const zlib = require("node:zlib");

const folder = process.env.ARENA_DATA;
const items = JSON.parse(fs.readFileSync(path.join(folder, "dataset.json"), "utf8"));
const types = {
  ".css": "text/css",
  ".js": "text/javascript",
  ".html": "text/html",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".woff2": "font/woff2",
  ".webp": "image/webp",
};

function respond(response, type, body, fields = {}) {
  const length = Buffer.byteLength(body);
  response.writeHead(200, { ...fields, "Content-Type": type, "Content-Length": length });
  response.end(body);
}

function respondJson(request, response, value) {
  const body = JSON.stringify(value);
  const accepts = request.headers["accept-encoding"] || "";
  if (process.env.ARENA_COMPRESS && body.length >= 500 && accepts.includes("gzip")) {
    zlib.gzip(body, { level: 1 }, (failed, packed) => {
      respond(response, "application/json", packed, { "Content-Encoding": "gzip" });
    });
  } else {
    respond(response, "application/json", body);
  }
}

function count(request, response) {
  let size = 0;
  request.on("data", (piece) => (size += piece.length));
  request.on("end", () => respond(response, "text/plain", String(size)));
}

function read(request, then) {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => then(Buffer.concat(pieces)));
}

function sendFile(name, response) {
  fs.open(path.join(folder, "static", path.basename(name)), (failed, fd) => {
    if (failed) {
      response.writeHead(404).end();
      return;
    }
    const size = fs.fstatSync(fd).size;
    response.writeHead(200, { "Content-Type": types[path.extname(name)], "Content-Length": size });
    fs.createReadStream(null, { fd }).pipe(response);
  });
}

function serve(request, response) {
  const url = new URL(request.url, "http://localhost");
  const number = (name) => Number(url.searchParams.get(name));
  if (url.pathname === "/pipeline") {
    respond(response, "text/plain", "ok");
  } else if (url.pathname === "/baseline11") {
    const sum = number("a") + number("b");
    if (request.method === "POST") {
      read(request, (body) => respond(response, "text/plain", String(sum + Number(body))));
    } else {
      respond(response, "text/plain", String(sum));
    }
  } else if (url.pathname.startsWith("/json/")) {
    const some = items
      .slice(0, Number(url.pathname.slice(6)))
      .map((item) => ({ ...item, total: item.price * item.quantity * number("m") }));
    respondJson(request, response, { items: some, count: some.length });
  } else if (url.pathname === "/upload") {
    count(request, response);
  } else if (url.pathname.startsWith("/static/")) {
    sendFile(url.pathname, response);
  } else {
    response.writeHead(404).end();
  }
}

const options = { keepAliveTimeout: 60_000 };
const cert = process.env.ARENA_CERT;
const server = cert
  ? https.createServer(
      { ...options, cert: fs.readFileSync(cert), key: fs.readFileSync(process.env.ARENA_KEY) },
      serve,
    )
  : http.createServer(options, serve);
server.listen(Number(process.argv[2]), "127.0.0.1");
