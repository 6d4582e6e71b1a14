// A client by node's http2: node http2_client.mjs URL [CERTIFICATE]. Prints what has come as JSON.

import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [url, certificate] = process.argv.slice(2);
const options = certificate ? { ca: readFileSync(certificate), servername: "localhost" } : {};
const session = http2.connect(url, options);

function ask(fields, body) {
  return new Promise((resolve, reject) => {
    const request = session.request(fields);
    const found = { body: Buffer.alloc(0) };
    request.on("response", (head) => (found.status = head[":status"]));
    request.on("data", (piece) => (found.body = Buffer.concat([found.body, piece])));
    request.on("end", () => resolve(found));
    request.on("error", reject);
    request.end(body);
  });
}

function giveUp(path) {
  return new Promise((resolve, reject) => {
    const request = session.request({ ":path": path });
    request.once("data", () => request.close(http2.constants.NGHTTP2_CANCEL));
    request.on("close", () => resolve(request.rstCode === http2.constants.NGHTTP2_CANCEL));
    request.on("error", reject);
  });
}

const many = Array.from({ length: 30 }, () => ask({ ":path": "/" }));
const answers = (await Promise.all(many)).map((found) => JSON.parse(found.body).version);
const body = Buffer.alloc(16 * 1024 * 20, "x");
const echo = await ask({ ":path": "/echo", ":method": "POST" }, body);
const echoed = body.equals(echo.body) ? echo.body.length : -1;
const givenUp = await giveUp("/pieces");
const after = (await ask({ ":path": "/" })).status;
console.log(JSON.stringify({ answers, echoed, "given up": givenUp, after }));
session.close();
