// The same work with OpenAI's SDK for Node: submissions and polls through it, pictures by fetch, which is what a program
// does that uses it against a service like this one.
//   NODE_PATH is not enough for an ES module: BENCH_OPENAI names the package's folder.
//   node peer_openai.mjs URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY
import { rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const OpenAI = createRequire(import.meta.url)(process.env.BENCH_OPENAI).OpenAI;
const [url, tasks, concurrency, interval, directory] = process.argv.slice(2).map((v) => (isNaN(v) ? v : Number(v)));
const client = new OpenAI({ apiKey: "aio_bench_key", baseURL: `${url}/api/v1`, maxRetries: 0 });

async function generate(path) {
    let { data } = await client.images.generate({ model: "flux-2", prompt: "a red fox" });
    const id = data.task_id;
    do {
        await sleep(interval);
        ({ data } = await client.get(`/tasks/${id}`));
    } while (data.status !== "SUCCESS");
    const answer = await fetch(data.output.image_url);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    await writeFile(`${path}.part`, new Uint8Array(await answer.arrayBuffer()));
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
