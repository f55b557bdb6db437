"""Generates an image through a gateway with plain HTTP: no module of flux2, nothing but Python's library.

FLUX2_API_KEY=f2gw_... FLUX2_BASE_URL=http://127.0.0.1:8787 python3 client.py "a red fox" fox.png
"""
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

BASE = os.environ.get("FLUX2_BASE_URL", "http://127.0.0.1:8787")
TOKEN = os.environ["FLUX2_API_KEY"]


def call(path, body=None, headers=None, tries=5):
    """Sends a request; again after a 429, a 5xx or a broken connection, which the Idempotency-Key makes safe."""
    request = urllib.request.Request(BASE + path, body and json.dumps(body).encode(), {
        "Authorization": "Bearer " + TOKEN, "Content-Type": "application/json", **(headers or {})})
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=90) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if not left or not (error.code == 429 or error.code >= 500):
                raise SystemExit(error.read().decode())
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except (OSError, http.client.HTTPException):
            if not left:
                raise
            time.sleep(1)


def generate(prompt):
    """Returns the URL of an image."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    task = call("/api/v1/images/generations", {"prompt": prompt}, key)["data"]
    while task["status"] in ("QUEUED", "IN_PROGRESS"):
        task = call("/api/v1/tasks/%s?wait=30" % task["task_id"])["data"]
    if task["status"] != "SUCCESS":
        raise SystemExit(task["error"]["message"])
    return task["output"]["image_url"]


if __name__ == "__main__":
    file = sys.argv[2] if len(sys.argv) > 2 else "image.png"
    urllib.request.urlretrieve(generate(sys.argv[1]), file)
    print(file)
