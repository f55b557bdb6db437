// Sends requests for images with OpenAI's SDK, one after another. JSON on stdin and stdout:
//   [{ client: options of the SDK, request: of images.generate }]
// -> [{ answer } or { error: { classes, status, code, type, param, message } }]
// spec/openai-sdk/sdk_spec.lua copies this file into the directory of the SDK.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

function classesOf(err) {
    const names = [];
    for (let c = err.constructor; c && c.name; c = Object.getPrototypeOf(c)) names.push(c.name);
    return names;
}

async function send({ client, request }) {
    try {
        return { answer: await new OpenAI(client).images.generate(request) };
    } catch (err) {
        const { status, code, type, param, message } = err;
        return { error: { classes: classesOf(err), status, code, type, param, message } };
    }
}

const results = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) results.push(await send(one));
console.log(JSON.stringify(results));
