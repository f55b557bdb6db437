// The same work with what Node brings: fetch (undici, which keeps connections).
//   node peer_node.mjs URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY
import { rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [url, tasks, concurrency, interval, directory] = process.argv.slice(2).map((v) => (isNaN(v) ? v : Number(v)));
const headers = { authorization: "Bearer aio_bench_key", accept: "application/json" };
const body = JSON.stringify({ model: "flux-2", prompt: "a red fox", aspect_ratio: "1:1" });

async function ask(address, options) {
    const answer = await fetch(address, options);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer;
}

async function generate(path) {
    const post = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body };
    let { data } = await (await ask(`${url}/api/v1/images/generations`, post)).json();
    const id = data.task_id;
    do {
        await sleep(interval);
        ({ data } = await (await ask(`${url}/api/v1/tasks/${id}`, { headers })).json());
    } while (data.status !== "SUCCESS");
    const bytes = await (await ask(data.output.image_url)).arrayBuffer();
    await writeFile(`${path}.part`, new Uint8Array(bytes));
    await rename(`${path}.part`, path);
}

let begun = 0, done = 0;
async function work() {
    while (begun < tasks) {
        await generate(`${directory}/${++begun}.png`);
        done++;
    }
}
await Promise.all(Array.from({ length: concurrency }, work));
console.log(`done ${done}`);
