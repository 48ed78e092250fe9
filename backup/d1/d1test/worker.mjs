// The HTTP API of D1 as far as Patina speaks it, over the engine that D1 runs
// on: each database is a Durable Object with SQLite storage in workerd.
//
// SQL, limits, refusals, conversions and the importer (sql.ingest) are the
// engine's own. What is ours are the envelope, bookmarks, and the choice of how
// an import commits.
import { DurableObject } from "cloudflare:workers";

// Every database by its id: {id, name, created, object, version, uploads, done}.
// workerd runs this worker in one isolate, so one map is the account.
const databases = new Map();

class APIError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

const ok = (result, more = {}) => Response.json({ result, success: true, errors: [], messages: [], ...more });

const fail = (e) =>
  Response.json(
    { result: [], success: false, errors: [{ code: e.code ?? 7500, message: e.message }], messages: [] },
    { status: e.status ?? 400 },
  );

export default {
  async fetch(request, env) {
    try {
      return await route(request, env);
    } catch (e) {
      return fail(e instanceof APIError ? e : new APIError(500, 7000, "internal error: " + (e.stack ?? e)));
    }
  },
};

async function route(request, env) {
  const url = new URL(request.url);
  const signed = url.pathname.match(/^\/signed\/([^/]+)\/([0-9a-f]{32})\.sql$/);
  if (signed && request.method === "PUT") {
    return upload(find(signed[1]), signed[2], request);
  }
  const m = url.pathname.match(/^\/accounts\/([^/]+)\/d1\/database(?:\/([^/]+)(?:\/(.+))?)?$/);
  if (!m) throw new APIError(404, 7003, "Could not route to " + url.pathname);
  if (request.headers.get("authorization") !== "Bearer " + env.TOKEN || m[1] !== env.ACCOUNT) {
    throw new APIError(401, 10000, "Authentication error");
  }
  const call = request.method + " " + (m[2] ? (m[3] ?? "one") : "all");
  if (call === "GET all") return list(url.searchParams);
  if (call === "POST all") return create(await request.json(), env);
  const db = find(m[2]);
  switch (call) {
    case "GET one":
      return ask(env, db, "describe");
    case "DELETE one":
      databases.delete(db.id);
      return ok(null);
    case "POST raw":
      return ask(env, db, "raw", request.body);
    case "POST import":
      return importStep(env, db, await request.json(), url.origin);
    case "GET time_travel/bookmark":
      return ask(env, db, "bookmark");
    case "POST time_travel/restore":
      return restore(env, db, url.searchParams.get("bookmark"));
  }
  throw new APIError(405, 7001, "Method not allowed");
}

// ask hands a call to the database's object. An object whose transaction cannot
// be committed, by a deferred foreign key, is reset by the engine: to a caller
// that is an error of SQL.
async function ask(env, db, what, body) {
  const headers = { database: db.id };
  try {
    return await env.DB.get(env.DB.idFromName(db.object)).fetch("http://object/" + what, { method: "POST", headers, body });
  } catch (e) {
    const m = e.message.match(/constraints were violated: (.*)$/s);
    if (!m) throw e;
    if (what.startsWith("ingest")) return ok({ success: false, type: "import", status: "error", error: m[1] });
    throw new APIError(400, 7500, m[1]);
  }
}

function find(id) {
  const db = databases.get(id);
  if (!db) throw new APIError(404, 7404, `The database ${id} could not be found`);
  return db;
}

const described = (db) => ({ uuid: db.id, name: db.name, created_at: db.created, version: "production", jurisdiction: null });

function list(query) {
  const page = Number(query.get("page") ?? 1);
  const per = Number(query.get("per_page") ?? 100);
  const all = [...databases.values()].filter((db) => db.name.includes(query.get("name") ?? ""));
  const result = all.slice((page - 1) * per, page * per).map(described);
  return ok(result, { result_info: { page, per_page: per, count: result.length, total_count: all.length } });
}

function create({ name }, env) {
  if (!name) throw new APIError(400, 7400, "The name is missing");
  for (const db of databases.values()) {
    if (db.name === name) throw new APIError(400, 7502, `A database with the name ${name} already exists`);
  }
  const id = crypto.randomUUID();
  const db = { id, name, created: new Date().toISOString(), object: id, version: 1, uploads: new Map(), done: new Map() };
  databases.set(id, db);
  return ask(env, db, "describe");
}

// upload takes the file of an import. Like a signed URL it asks for no token,
// and gives the MD5 of what arrived as its ETag.
async function upload(db, etag, request) {
  const bytes = await request.arrayBuffer();
  const sum = new Uint8Array(await crypto.subtle.digest("MD5", bytes));
  const hex = [...sum].map((b) => b.toString(16).padStart(2, "0")).join("");
  if (hex !== etag || request.headers.has("authorization")) return new Response("BadDigest", { status: 400 });
  db.uploads.set(etag, bytes);
  return new Response(null, { headers: { ETag: `"${hex}"` } });
}

async function importStep(env, db, { action, etag, filename, current_bookmark }, origin) {
  switch (action) {
    case "init":
      return ok({ success: true, filename: etag + ".sql", upload_url: `${origin}/signed/${db.id}/${etag}.sql` });
    case "ingest": {
      const bytes = db.uploads.get(etag);
      if (!bytes || filename !== etag + ".sql") throw new APIError(400, 7400, "Nothing was uploaded under this name");
      db.uploads.delete(etag);
      return ask(env, db, db.name.startsWith("pieces-") ? "ingest-pieces" : "ingest", bytes);
    }
    case "poll": {
      const result = db.done.get(current_bookmark);
      if (!result) return ok({ success: false, status: "error", error: "Not currently importing anything." });
      return ok({ success: true, type: "import", status: "complete", at_bookmark: current_bookmark, result });
    }
  }
  throw new APIError(400, 7400, "The action is not known");
}

// restore brings back what a bookmark's snapshot holds: under a new object,
// since a file that is open cannot be replaced.
async function restore(env, db, bookmark) {
  const previous = (await (await ask(env, db, "bookmark")).json()).result.bookmark;
  const object = db.id + "/" + ++db.version;
  const to = env.DB.idFromName(object).toString();
  const r = await env.FILES.fetch(`http://files/restore?bookmark=${bookmark}&object=${to}`);
  if (!r.ok) throw new APIError(400, 7400, "The bookmark is not known, or too old");
  db.object = object;
  return ok({ bookmark, previous_bookmark: previous, message: "Database has been restored to bookmark " + bookmark });
}

// Pieces of an import that commits in pieces, in characters: small, so that
// nearly each statement is a transaction of its own.
const piece = 1024;

export class Database extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    // D1's databases carry a table of Cloudflare's own; so let this one.
    ctx.blockConcurrencyWhile(() => ctx.storage.getCurrentBookmark());
  }

  async fetch(request) {
    const db = databases.get(request.headers.get("database"));
    try {
      switch (new URL(request.url).pathname) {
        case "/raw": {
          const body = await request.json();
          return this.raw(db, body.batch ?? [body]);
        }
        case "/describe":
          return ok({ ...described(db), num_tables: this.tables(), file_size: this.sql.databaseSize, read_replication: { mode: "disabled" } });
        case "/bookmark":
          return await this.ctx.blockConcurrencyWhile(() => this.keep(db));
        case "/ingest":
          return await this.importAll(db, await request.text());
        case "/ingest-pieces":
          return await this.importPieces(db, await request.text());
      }
    } catch (e) {
      return fail(new APIError(400, 7500, e.message));
    }
  }

  tables() {
    return this.sql.exec("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'").raw().next().value[0];
  }

  // raw runs statements as one transaction.
  raw(db, queries) {
    if (!queries.length || queries.some((q) => !q.sql?.replace(/^\s+--.*/gm, "").trim())) {
      throw new Error("No SQL statements detected.");
    }
    const before = this.state();
    const result = this.ctx.storage.transactionSync(() => queries.map((q) => this.query(q)));
    this.moved(db, before, result.some((r) => r.meta.rows_written > 0));
    return ok(result);
  }

  query({ sql, params }) {
    const started = performance.now();
    const [changesBefore] = this.counters();
    const cursor = this.sql.exec(sql, ...(params ?? []).map((p) => (Array.isArray(p) ? new Uint8Array(p).buffer : p)));
    const columns = cursor.columnNames;
    const rows = [];
    for (const row of cursor.raw()) rows.push(row.map((v) => (v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v)));
    const [changesAfter, last_row_id] = this.counters();
    const changes = changesAfter - changesBefore;
    const duration = performance.now() - started;
    return {
      results: { columns, rows },
      success: true,
      meta: {
        served_by: "d1test", served_by_primary: true, timings: { sql_duration_ms: duration }, duration,
        changes, last_row_id, changed_db: cursor.rowsWritten > 0 || changes > 0, size_after: this.sql.databaseSize,
        rows_read: cursor.rowsRead, rows_written: cursor.rowsWritten,
      },
    };
  }

  counters() {
    return this.sql.exec("SELECT total_changes(), last_insert_rowid()").raw().next().value;
  }

  // state is what moves with rows and with the schema.
  state() {
    const schema = [...this.sql.exec("SELECT type, name, tbl_name, sql FROM sqlite_schema").raw()];
    return JSON.stringify([this.counters()[0], schema]);
  }

  moved(db, before, wrote) {
    if (wrote || this.state() !== before) db.version++;
  }

  // A bookmark moves exactly when something was written and committed.
  bookmark(db) {
    return `${db.version.toString(16).padStart(8, "0")}-00000000-00004c6d-${db.id.replaceAll("-", "")}`;
  }

  // keep makes the snapshot that a bookmark leads back to.
  async keep(db) {
    const bookmark = this.bookmark(db);
    await this.ctx.storage.sync();
    await this.env.FILES.fetch(`http://files/keep?bookmark=${bookmark}&object=${this.ctx.id}`);
    return ok({ bookmark });
  }

  // importAll runs a whole import in one transaction.
  async importAll(db, text) {
    const before = this.state();
    let n;
    try {
      n = this.ctx.storage.transactionSync(() => this.finish(this.sql.ingest(text)));
    } catch (e) {
      return this.importFailed(e);
    }
    return this.imported(db, before, n);
  }

  // importPieces commits after each piece. What an import that fails wrote
  // before stays.
  async importPieces(db, text) {
    const before = this.state();
    let n = 0;
    try {
      let rest = "";
      for (let at = 0, end; at < text.length; at = end) {
        end = at + piece;
        if (text.charCodeAt(end - 1) >> 10 === 0xd800 >> 10) end++; // not within a character
        const r = this.sql.ingest(rest + text.slice(at, end));
        rest = r.remainder;
        n += r.statementCount;
        if (r.statementCount > 0) await this.ctx.storage.sync();
      }
      n += this.finish({ remainder: rest, statementCount: 0 });
    } catch (e) {
      this.moved(db, before, false);
      return this.importFailed(e);
    }
    return this.imported(db, before, n);
  }

  // finish runs what follows the last semicolon, if it is more than comments.
  finish({ remainder, statementCount }) {
    if (!remainder.replace(/--[^\n]*/g, "").trim()) return statementCount;
    this.sql.exec(remainder);
    return statementCount + 1;
  }

  imported(db, before, num_queries) {
    this.moved(db, before, false);
    const at_bookmark = this.bookmark(db);
    db.done.set(at_bookmark, { num_queries, final_bookmark: at_bookmark, meta: { served_by_primary: true, size_after: this.sql.databaseSize } });
    return ok({ success: true, type: "import", status: "active", at_bookmark });
  }

  importFailed(e) {
    return ok({ success: false, type: "import", status: "error", error: e.message });
  }
}
