// The arena's routes on node's http module.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

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

function respond(response, type, body) {
  const length = Buffer.byteLength(body);
  response.writeHead(200, { "Content-Type": type, "Content-Length": length });
  response.end(body);
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
    respond(response, "application/json", JSON.stringify({ items: some, count: some.length }));
  } else if (url.pathname.startsWith("/static/")) {
    sendFile(url.pathname, response);
  } else {
    response.writeHead(404).end();
  }
}

http.createServer({ keepAliveTimeout: 60_000 }, serve).listen(Number(process.argv[2]), "127.0.0.1");
