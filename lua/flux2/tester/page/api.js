// The calls to the local server. Addresses are relative, so that each carries the token of the page's own address.

async function read(response) {
    let answer;
    try {
        answer = await response.json();
    } catch {
        answer = null;
    }
    if (response.ok && answer) return answer;
    const error = answer && answer.error;
    throw error || { kind: "io", message: `the tester answered ${response.status}`, advice: "Start the tester again." };
}

const GONE = {
    kind: "network", message: "the tester does not answer", meaning: "the program that runs it has ended",
    advice: "Start it again, and open the address that it prints.",
};

async function call(path, options) {
    let response;
    try {
        response = await fetch(path, options);
    } catch {
        throw GONE;
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

// Calls `heard(news)` with whatever happens in the session, from its beginning, for as long as the page is open;
// `lost(error)` whenever the tester does not answer.
export async function follow(heard, lost) {
    let version = 0;
    for (;;) {
        try {
            const news = await get(`news?after=${version}`);
            version = news.version;
            heard(news);
        } catch (error) {
            lost(error);
            await pause(1000);
        }
    }
}
