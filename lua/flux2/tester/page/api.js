// Requests to the local server. Relative URLs keep the token of the page's URL.

async function read(response) {
    let body;
    try {
        body = await response.json();
    } catch {
        body = null;
    }
    if (response.ok && body) return body;
    const error = body && body.error;
    throw error || { kind: "io", message: `the tester responded with status ${response.status}`, advice: "Start the tester again." };
}

const UNREACHABLE = {
    kind: "network", message: "the tester does not respond", meaning: "the program that runs it has ended",
    advice: "Start it again and open the URL that it prints.",
};

async function call(path, options) {
    let response;
    try {
        response = await fetch(path, options);
    } catch {
        throw UNREACHABLE;
    }
    return read(response);
}

export const get = (path) => call(path);

export const post = (path, value) => call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value || {}),
});

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Calls `onEvents(update)` with all events of the session, past and future, and `onError(error)` after each failed
// request.
export async function follow(onEvents, onError) {
    let version = 0;
    for (;;) {
        try {
            const update = await get(`events?after=${version}`);
            version = update.version;
            onEvents(update);
        } catch (error) {
            onError(error);
            await pause(1000);
        }
    }
}
