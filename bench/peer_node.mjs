// The benchmark's work with Node's fetch (undici, which keeps connections alive).
//   node peer_node.mjs URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY
import { request, run, url } from "./peer.mjs";

const headers = { authorization: "Bearer aio_bench_key", accept: "application/json" };
const body = JSON.stringify({ model: "flux-2", prompt: "a red fox", aspect_ratio: "1:1" });
const post = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body };

async function data(path, options) {
    return (await (await request(`${url}/api/v1${path}`, options)).json()).data;
}

await run(() => data("/images/generations", post), (id) => data(`/tasks/${id}`, { headers }));
