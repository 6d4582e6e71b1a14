// Uses the client of program.py, as a user would; compiled with --strict, and run by node.
import {
  ApiError,
  Client,
  ConflictError,
  NotFoundError,
  UnprocessableContentError,
  type Circle,
  type Square,
  type TreeInput,
} from "./whole.js";

declare const process: { argv: string[] };

function same(found: unknown, expected: unknown): void {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

async function thrown(act: () => Promise<unknown>): Promise<unknown> {
  try {
    await act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

async function parameters(client: Client): Promise<void> {
  const ident = "00000000-0000-0000-0000-000000000007";
  const text = "a b?#%2Fä";
  const found = await client.readPath({ text, number: 1.5, colour: "dark blue", ident });
  same(found, { text, number: 1.5, colour: "dark blue", ident });
  same(await client.readFilePath({ path: "one/two .." }), "one/two ..");
  for (const odd of ["", ".", ".."]) {
    const error = await thrown(() => client.readFilePath({ path: odd }));
    if (!(error instanceof RangeError)) throw error;
  }
  const none = { many: [], flag: false, when: null, level: 1, class: "none", text: "default" };
  same(await client.readQuery(), none);
  const asked = {
    "item-ids": [1, 2],
    flag: true,
    when: "2026-11-30T12:00:00Z",
    level: 2 as const,
    class: "a&b=c",
    text: "",
  };
  const { "item-ids": many, ...rest } = asked;
  same(await client.readQuery(asked), { many, ...rest });
  const fields = { "x-token": ["a, b"], session: "s1" };
  same(await client.readFields(fields), { x_token: ["a, b"], session: "s1" });
  const cookie = await thrown(() => client.readFields({ session: "a; admin=1" }));
  if (!(cookie instanceof RangeError)) throw cookie;
  const least = { id: 1, id_query: 2, id_header: "3" };
  same(await client.putSame(least), [1, 2, "3", "", "none"]);
  const more = { ...least, body: "4", body_body: { message: "5" } };
  same(await client.putSame(more), [1, 2, "3", "4", "5"]);
}

async function bodies(client: Client): Promise<void> {
  const leaf: TreeInput = { name: "leaf", shape: { type: "circle", radius: 1 } };
  const body: TreeInput = { name: "root", children: [leaf], shape: { type: "square", side: 2 } };
  const tree = await client.echoTree({ body });
  if (tree.shape?.type !== "square") throw new Error("no square");
  same(tree.shape.side, 2); // the compiler knows that it is one
  same(tree.children?.[0]?.shape, { type: "circle", radius: 1 });
  const odd = { list: [1], class: "c", "x-dashed": 4, further: 1 };
  same(await client.tellSent({ body: odd }), odd);
  same((await client.echoOdd({ body: odd })).copy, true);
  same(await client.embedded({ count: 1 }), { count: 1, message: null, mixed: "word" });
  same(await client.search({ body: ["a", "b"] }), 2);
  same(await client.readPage(), { items: [{ message: "one" }], next: null });
}

async function forms(client: Client): Promise<void> {
  const profile = { name: "Ann & Bob", tags: ["x", "y"], level: 2 as const };
  same(await client.sendForm(profile), profile);
  const plain = await client.upload({ file: new Blob(["content"]) });
  same(plain["file"], ["upload", "application/octet-stream", "content"]);
  const file = new File(["text"], "a.txt", { type: "text/x-own" });
  const found = await client.upload({
    file,
    more: [new File(["1"], "b.bin"), new File(["2"], "c.bin")],
    raw: new Blob(["123"]),
    note: "two\r\nlines",
  });
  const note = "two\r\nlines";
  same(found, { file: ["a.txt", "text/x-own", "text"], more: ["b.bin", "c.bin"], raw: 3, note });
  same(await client.sendRaw({ body: new Uint8Array([1, 2, 3]) }), ["image/png", 3]);
}

async function security(client: Client): Promise<void> {
  same(await client.whoBearer(), null);
  same(await client.whoKeys(), [null, null]);
  client.credentials = {
    oauth2_password_bearer: "t1",
    http_bearer: "t2",
    http_basic: ["änn", "pass:word"],
    api_key_header: "h",
    api_key_cookie: "c",
    api_key_query: "q&",
  };
  same(await client.whoBearer(), "t1");
  same(await client.whoHttp(), "Bearer t2");
  same(await client.whoBasic(), ["änn", "pass:word"]);
  same(await client.whoKeys(), ["h", "c"]);
  same(await client.whoQuery(), "q&");
  client.credentials = {};
}

async function errors(client: Client): Promise<void> {
  const gone = await thrown(() => client.fail({ status: 404 }));
  if (!(gone instanceof NotFoundError)) throw gone;
  same([gone.status, gone.content.message, gone.name], [404, "gone", "NotFoundError"]);
  const conflict = await thrown(() => client.fail({ status: 409 }));
  if (!(conflict instanceof ConflictError)) throw conflict;
  same(conflict.content.code, 7);
  const other = await thrown(() => client.fail({ status: 503 }));
  if (!(other instanceof ApiError)) throw other;
  same([other.name, other.content], ["ApiError", { detail: "no such thing" }]);
  const broken = await thrown(() => client.fail({ status: 410 }));
  if (!(broken instanceof ApiError)) throw broken;
  same([broken.name, broken.status, broken.content], ["ApiError", 410, "{no JSON"]);
  const wrong = { status: "x" as unknown as number };
  const invalid = await thrown(() => client.fail(wrong));
  if (!(invalid instanceof UnprocessableContentError)) throw invalid;
  same(invalid.content.detail?.[0]?.loc, ["path", "status"]);
}

async function results(client: Client): Promise<void> {
  const there = await client.maybeMade({ made: false });
  same("message" in there ? there.message : there.code, "there");
  same(await client.maybeMade({ made: true }), { code: 1 });
  same(await client.text(), "käse");
  same(await client.nothing(), undefined);
  same([await client.twinsATwinsGet(), await client.twinsBTwinsGet()], ["a", "b"]);
  const shapes: (Circle | Square)[] = [{ type: "circle", radius: 1 }];
  same(await client.echoShapes({ body: shapes }), shapes);
  const download = await client.download();
  same((await download.arrayBuffer()).byteLength, 3000);
  const events = await client.events();
  same((await events.text()).match(/^data:/gm)?.length, 2);
  const refused = await thrown(() => client.refusedStream());
  if (!(refused instanceof ApiError)) throw refused;
  same(refused.content, { detail: "not for you" });
  const stopped = await thrown(() => client.text({ signal: AbortSignal.abort() }));
  same((stopped as Error).name, "AbortError");
}

const client = new Client(`${process.argv[2]}/`);
for (const part of [parameters, bodies, forms, security, errors, results]) await part(client);
