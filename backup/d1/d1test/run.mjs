// Runs worker.mjs in workerd on a free port of the loopback interface, prints
// its URL on one line, and ends when standard input does.
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare } from "miniflare";

process.chdir(import.meta.dirname); // miniflare names modules by their way from here

const folder = await mkdtemp(join(tmpdir(), "d1test-"));
const key = "databases"; // the folder of the objects' files
const endings = ["", "-wal"];

// files copies a database's files; its object waits meanwhile.
async function files(request) {
  const url = new URL(request.url);
  const snapshot = join(folder, url.searchParams.get("bookmark").replace(/[^0-9a-f-]/g, ""));
  const object = join(folder, key, url.searchParams.get("object") + ".sqlite");
  const [from, to] = url.pathname === "/keep" ? [object, snapshot] : [snapshot, object];
  for (const ending of endings) {
    try {
      await copyFile(from + ending, to + ending);
    } catch (e) {
      if (e.code !== "ENOENT") throw e;
      if (ending === "") return new Response(null, { status: 404 });
    }
  }
  return new Response(null);
}

const mf = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  modules: true,
  scriptPath: "worker.mjs",
  compatibilityDate: "2026-07-01",
  compatibilityFlags: ["experimental"], // sql.ingest, D1's importer
  durableObjects: { DB: { className: "Database", useSQLite: true, unsafeUniqueKey: key } },
  durableObjectsPersist: folder,
  bindings: { ACCOUNT: process.argv[2], TOKEN: process.argv[3] },
  serviceBindings: { FILES: files },
  // R2 as miniflare has it, with its S3 face under /cdn-cgi/local/r2/s3.
  r2Buckets: { BUCKET: { id: "bucket", s3Credentials: { accessKeyId: process.argv[4], secretAccessKey: process.argv[5] } } },
  r2Persist: join(folder, "r2"),
});

let ending;
async function end() {
  ending ??= mf.dispose().then(() => rm(folder, { recursive: true, force: true }));
  await ending;
  process.exit(0);
}
process.stdin.on("end", end).on("error", end).resume();
process.on("SIGTERM", end).on("SIGINT", end);

console.log((await mf.ready).origin);
