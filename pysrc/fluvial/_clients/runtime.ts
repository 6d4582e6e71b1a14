/** What the server sent is none of what the operation promises. */
export class ApiError extends Error {
  readonly status: number;
  /** Of the documented type in the subclasses, otherwise JSON, or text. */
  readonly content: unknown;
  readonly response: Response;

  constructor(response: Response, content: unknown) {
    super(`${response.status} ${response.statusText}: ${JSON.stringify(content)}`);
    this.name = new.target.name;
    this.status = response.status;
    this.content = content;
    this.response = response;
  }
}

type Kind_ = "json" | "any" | "text" | "bytes" | "empty" | "stream";
type Pairs_ = readonly (readonly [name: string, value: unknown])[];
type ErrorClass_ = new (response: Response, content: unknown) => ApiError;

interface Call_ {
  method: string;
  /** Text and values in turn. */
  path: readonly unknown[];
  query?: Pairs_;
  headers?: Pairs_;
  cookies?: Pairs_;
  body?: BodyInit | undefined;
  json?: unknown;
  mediaType?: string;
  form?: Pairs_;
  security?: readonly (readonly string[])[];
  success: Readonly<Record<string, Kind_>>;
  errors?: Readonly<Record<string, readonly [error: ErrorClass_, kind: Kind_]>>;
}

function text_(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Each value on its own; undefined and null are left out. */
function texts_(pairs: Pairs_ = []): [string, string][] {
  return pairs.flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== undefined && each !== null)
      .map((each): [string, string] => [name, text_(each)]),
  );
}

/** A value in a path: one segment, which can't lead elsewhere. */
function segment_(value: unknown): string {
  const text = text_(value);
  if (text === "" || text === "." || text === "..") {
    throw new RangeError(`${JSON.stringify(text)} can't be sent as a part of a path`);
  }
  return encodeURIComponent(text);
}

function cookie_([name, value]: [string, string]): string {
  if (/[^\x21-\x7e]|[;,"\\]/.test(value)) {
    throw new RangeError(`the cookie ${name} can't have the value ${JSON.stringify(value)}`);
  }
  return `${name}=${value}`;
}

function formData_(pairs: Pairs_): FormData {
  const form = new FormData();
  for (const [name, value] of pairs) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each instanceof Blob) {
        form.append(name, each, each instanceof File ? each.name : "upload");
      } else if (each !== undefined && each !== null) {
        form.append(name, text_(each));
      }
    }
  }
  return form;
}

function base64_(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** What is in a response that isn't documented: JSON, or text. */
async function contentOf_(response: Response): Promise<unknown> {
  const text = await response.text();
  const kind = (response.headers.get("content-type") ?? "").split(";")[0]!.trim();
  if (kind === "application/json" || kind.endsWith("+json")) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  return text;
}

/** JSON; an ApiError with the text if it is none. */
function parsed_(response: Response, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ApiError(response, text);
  }
}

async function read_(response: Response, kind: Kind_): Promise<unknown> {
  switch (kind) {
    case "json":
      return parsed_(response, await response.text());
    case "any":
      return contentOf_(response);
    case "text":
      return response.text();
    case "bytes":
      return response.arrayBuffer();
    case "empty":
      return undefined;
    case "stream":
      return response;
  }
}

function find_<T>(table: Readonly<Record<string, T>>, status: number): T | undefined {
  return table[String(status)] ?? table[`${Math.floor(status / 100)}XX`];
}

async function error_(call: Call_, response: Response): Promise<ApiError> {
  const errors = call.errors ?? {};
  const [error, kind] = find_(errors, response.status) ?? errors["default"] ?? [ApiError, "any"];
  if (kind !== "json") {
    return new error(response, await read_(response, kind));
  }
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return isJson ? new error(response, parsed_(response, text)) : new ApiError(response, text);
}

/** What a client may be told besides the server's address. */
export interface Options {
  credentials?: Credentials;
  /** In the place of the global fetch. */
  fetch?: typeof fetch;
}

class Base_ {
  readonly baseUrl: string;
  credentials: Credentials;
  readonly #fetch: typeof fetch;

  constructor(baseUrl: string, options: Options = {}) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.credentials = options.credentials ?? {};
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  protected async send_(call: Call_, init: RequestInit = {}): Promise<unknown> {
    const headers = new Headers(init.headers);
    for (const [name, value] of texts_(call.headers)) headers.append(name, value);
    const query = texts_(call.query);
    const cookies = texts_(call.cookies);
    this.#authorize(call, headers, query, cookies);
    if (cookies.length > 0) headers.set("Cookie", cookies.map(cookie_).join("; "));
    const path = call.path.map((each, i) => (i % 2 ? segment_(each) : each)).join("");
    let body = call.json === undefined ? call.body : JSON.stringify(call.json);
    if (call.form !== undefined && call.mediaType === "multipart/form-data") {
      body = formData_(call.form);
    } else if (call.form !== undefined) {
      body = new URLSearchParams(texts_(call.form));
    } else if (body !== undefined && call.mediaType !== undefined) {
      headers.set("Content-Type", call.mediaType);
    }
    const search = query.length > 0 ? `?${new URLSearchParams(query)}` : "";
    const request: RequestInit = { ...init, method: call.method, headers };
    if (body !== undefined) request.body = body;
    const response = await this.#fetch(`${this.baseUrl}${path}${search}`, request);
    const known = find_(call.success, response.status);
    if (known === undefined && !response.ok) throw await error_(call, response);
    const other = Object.entries(call.success).find(([status]) => /^[2d]/.test(status));
    return read_(response, known ?? other?.[1] ?? "any");
  }

  /**
   * Adds those of the operation's sets of credentials that are there as a whole. Any of them would
   * do by the document; FastAPI's say so, too, where all are needed.
   */
  #authorize(
    call: Call_,
    headers: Headers,
    query: [string, string][],
    cookies: [string, string][],
  ): void {
    const known = this.credentials as Readonly<Record<string, string | readonly string[]>>;
    const taken = new Set<string>();
    for (const needed of call.security ?? []) {
      const places = needed.map((name) => placeOf_(...SCHEMES_[name]!).join(" "));
      if (needed.some((name) => known[name] == null) || places.some((each) => taken.has(each))) {
        continue;
      }
      for (const name of needed) {
        const value = known[name]!;
        const [kind, scheme] = SCHEMES_[name]!;
        const [place, parameter] = placeOf_(kind, scheme);
        const shown = kind === "basic" ? base64_((value as readonly string[]).join(":")) : value;
        const text = kind === place ? String(shown) : `${scheme} ${String(shown)}`;
        if (place === "header") headers.set(parameter, text);
        else (place === "query" ? query : cookies).push([parameter, text]);
        taken.add(placeOf_(kind, scheme).join(" "));
      }
    }
  }
}

/** Where a scheme's credentials go: a kind of parameter, and its name. */
function placeOf_(kind: string, name: string): readonly [place: string, parameter: string] {
  return /^(query|header|cookie)$/.test(kind) ? [kind, name] : ["header", "Authorization"];
}
