// The benchmark's work with OpenAI's SDK for Node: submissions and polls by the SDK, images by fetch.
//   ES modules ignore NODE_PATH: BENCH_OPENAI names the folder of the package.
//   node peer_openai.mjs URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY
import { createRequire } from "node:module";
import { run, url } from "./peer.mjs";

const OpenAI = createRequire(import.meta.url)(process.env.BENCH_OPENAI).OpenAI;
const client = new OpenAI({ apiKey: "aio_bench_key", baseURL: `${url}/api/v1`, maxRetries: 0 });

await run(
    async () => (await client.images.generate({ model: "flux-2", prompt: "a red fox" })).data,
    async (id) => (await client.get(`/tasks/${id}`)).data,
);
