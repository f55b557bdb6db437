// Shared by the clients for Node: arguments, polling, saving of images, and concurrent workers. Each client implements
// submissions and polls.
import { rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [url, tasks, concurrency, interval, directory] = process.argv.slice(2).map((v) => (isNaN(v) ? v : Number(v)));
export { url };

// fetch that throws an error for an HTTP error status.
export async function request(address, options) {
    const response = await fetch(address, options);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response;
}

async function save(address, path) {
    const bytes = await (await request(address)).arrayBuffer();
    await writeFile(`${path}.part`, new Uint8Array(bytes));
    await rename(`${path}.part`, path);
}

// Runs all tasks and prints the number of finished ones. `submit()` and `poll(id)` return `data` of the response.
export async function run(submit, poll) {
    async function generate(path) {
        let data = await submit();
        const id = data.task_id;
        do {
            await sleep(interval);
            data = await poll(id);
        } while (data.status !== "SUCCESS");
        await save(data.output.image_url, path);
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
}
