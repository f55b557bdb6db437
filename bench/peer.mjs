// What the peers for Node share: arguments, polling until the end, saving the picture, so many workers for so many tasks.
// How a submission and a look are made is each peer's own.
import { rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [url, tasks, concurrency, interval, directory] = process.argv.slice(2).map((v) => (isNaN(v) ? v : Number(v)));
export { url };

// fetch, for which an answer that says no is an error here.
export async function ask(address, options) {
    const answer = await fetch(address, options);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer;
}

async function save(address, path) {
    const bytes = await (await ask(address)).arrayBuffer();
    await writeFile(`${path}.part`, new Uint8Array(bytes));
    await rename(`${path}.part`, path);
}

// Does all tasks, and prints how many came to their end. `submit()` and `look(id)` give the `data` of the answer.
export async function run(submit, look) {
    async function generate(path) {
        let data = await submit();
        const id = data.task_id;
        do {
            await sleep(interval);
            data = await look(id);
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
