// Asks for pictures with OpenAI's SDK, as one line of JSON on the standard input says, and tells what came of it.
//   { client: options of the SDK, request: of images.generate }
// -> { answer } or { error: { classes, status, code, type, param, message } }
// Run from build/openai-sdk, where the SDK is: spec/openai_sdk_spec.lua copies this file there.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const { client, request } = JSON.parse(readFileSync(0, "utf8"));

function classesOf(err) {
    const names = [];
    for (let c = err.constructor; c && c.name; c = Object.getPrototypeOf(c)) names.push(c.name);
    return names;
}

function tell(what) {
    console.log(JSON.stringify(what));
}

try {
    tell({ answer: await new OpenAI(client).images.generate(request) });
} catch (err) {
    const { status, code, type, param, message } = err;
    tell({ error: { classes: classesOf(err), status, code, type, param, message } });
}
