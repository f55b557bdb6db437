// Asks for pictures with OpenAI's SDK, one request after the other, and tells what came of each: JSON in, JSON out.
//   [{ client: options of the SDK, request: of images.generate }]
// -> [{ answer } or { error: { classes, status, code, type, param, message } }]
// Run where the SDK is: spec/openai_sdk_spec.lua copies this file there.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

function classesOf(err) {
    const names = [];
    for (let c = err.constructor; c && c.name; c = Object.getPrototypeOf(c)) names.push(c.name);
    return names;
}

async function ask({ client, request }) {
    try {
        return { answer: await new OpenAI(client).images.generate(request) };
    } catch (err) {
        const { status, code, type, param, message } = err;
        return { error: { classes: classesOf(err), status, code, type, param, message } };
    }
}

const told = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) told.push(await ask(one));
console.log(JSON.stringify(told));
