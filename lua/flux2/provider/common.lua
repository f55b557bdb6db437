--- The default response schema and trace headers of providers: data for csrc/engine/response_reader.c.
-- A list of the same name in the `response` of a provider replaces the one here.
-- Paths are dotted; a number is a place in an array, from 0; the first path with a usable value counts.

local schema = {}

--- The URL at which the task is polled, in the response to its submission. Empty, because the URL receives the key:
--- each provider has to name its path.
schema.poll_url = {}

--- Status words in lower case; a space matches a space, a dash, an underscore or nothing. An unknown word means running
--- or, with an image in the response, succeeded. With a word of `running`, an image is a preview.
schema.running = {
    "running", "in progress", "pending", "queued", "queueing", "in queue", "waiting", "processing", "submitted",
    "not start", "not started", "starting", "started", "created", "accepted", "generating", "preparing", "scheduled",
    "task status queued", "task status processing",
}
schema.succeeded = {
    "success", "succeeded", "succeed", "successful", "completed", "complete", "ready", "done", "finished",
    "task status succeed",
}
schema.failed = {
    "failed", "failure", "fail", "error", "cancelled", "canceled", "timeout", "timed out", "aborted", "expired",
    "task failed", "generate failed", "create task failed", "task status failed",
}
schema.moderated = {
    "request moderated", "content moderated", "moderated", "content filtered", "nsfw", "nsfw detected",
    "sensitive word error",
}
schema.rejected = { "rejected", "content policy violation" }

--- The service does not know the task. The same as the HTTP status 404.
schema.missing = { "task not found" }

schema.task_id = {
    "data.task_id", "task_id", "data.taskId", "taskId", "data.id", "data.0.task_id", "data.0.taskId", "data.0.id",
    "data.task.task_id", "data.task.id", "output.task_id", "result.task_id", "task.task_id", "id",
}

--- Paths in the task before those in the envelope: {"status":"success","data":{"status":"running"}} is running.
schema.status = {
    "data.status", "data.state", "data.task_status", "data.taskStatus", "data.0.status", "data.0.state",
    "data.task.status", "output.task_status", "result.status", "task.status", "task_status", "status", "state",
}

--- The status as a number, in the task: it precedes a status in the envelope. `number_words` has its words, from 0.
schema.status_number = { "data.successFlag", "successFlag" }
schema.number_words = { "running", "success", "failed", "failed" }

schema.progress = {
    "data.progress", "data.percent", "data.percentage", "data.progress_percent", "data.output.progress",
    "data.0.progress", "data.task.progress", "output.progress", "progress", "percent", "percentage",
    "task.progress_percent",
}

--- The places of images. The value is a string, an object with one of `image_keys`, or an array of these. The first
--- place with an image contains all of them.
schema.image_places = {
    "data.output", "data.outputs", "data.result", "data.response", "data.results", "data.task_result",
    "data.task.output", "data.task.result", "data.0.output", "data.0.result", "data.info", "data.data",
    "data.generated", "data", "output", "output.results", "result", "response", "response.data", "results", "",
}

--- Places of a result that is JSON in a string.
schema.packed_places = { "data.resultJson", "data.result_json", "data.0.resultJson", "resultJson", "result_json" }

--- Members of an object with images: lists before single images, URLs before bytes.
schema.image_keys = {
    "images", "image_urls", "imageUrls", "urls", "result_urls", "resultUrls", "output_urls", "image_url", "imageUrl",
    "result_url", "resultUrl", "resultImageUrl", "output_url", "image", "url", "sample",
    "content",
}
schema.bytes_keys = { "b64_json", "b64", "base64", "image_base64" }
schema.media_type_keys = { "content_type", "contentType", "mime_type", "mimeType" }

--- A value other than null, false, 0, "" or empty means that the service refused the request.
schema.refused = { "error" }

--- A number, or digits, that is not in `code_ok` means the same.
schema.code = { "code" }
schema.code_ok = { 200, 0, 201, 202 }

--- Why a task failed. Only strings count, except `empty_words`.
schema.reason = {
    "data.error.message", "data.error.msg", "data.error.detail", "data.error", "data.fail_reason", "data.failReason",
    "data.failMsg", "data.fail_msg", "data.error_message", "data.errorMessage", "data.error_msg", "data.reason",
    "data.output.error.message", "data.output.error", "data.result.error.message", "data.result.error",
    "data.0.error.message", "data.0.error", "data.0.fail_reason", "data.task.error.message", "data.task.error",
    "output.message", "task.reason", "details.Moderation Reasons.0", "errorMessage", "error.message", "error.msg",
    "error", "fail_reason", "failMsg", "error_message", "data.details", "details", "data.message", "data.msg",
    "message", "msg",
}
schema.reason_code = {
    "data.error.code", "data.fail_code", "data.failCode", "data.error_code", "data.errorCode", "output.code",
    "error.code", "error_code", "fail_code", "failCode",
}
schema.reason_type = { "data.error.type", "error.type" }

--- Any value means that the request or its result was moderated.
schema.moderation = { "details.Moderation Reasons" }

--- Why a request was refused.
schema.error_text = {
    "details.Moderation Reasons.0", "error.message", "error.msg", "error.detail", "error", "errors.0.message",
    "errors.0", "message", "msg", "detail",
    "detail.message", "detail.msg", "detail.error", "error_description", "error_message", "errorMessage",
    "data.error.message", "data.error", "data.message", "data.msg",
}
schema.error_code = { "error.code", "code", "error_code", "errorCode", "detail.code", "data.error.code" }
schema.error_type = { "error.type", "type", "detail.type", "data.error.type" }
schema.request_id = { "request_id", "requestId", "error.request_id", "data.request_id" }
schema.error_list = { "detail" } -- FastAPI: {"detail":[{"loc":["body","prompt"],"msg":"field required"}]}
schema.empty_words = { "", "success", "ok", "null", "none", "true", "false", "no error" }

--- Seconds that the service asks to wait, without a Retry-After header.
schema.retry_after = {
    "retry_after", "retryAfter", "error.retry_after", "error.retryAfter", "data.retry_after", "detail.retry_after",
    "details.retry_after",
}

--- Credits that the task cost.
schema.credits = {
    "data.credits_used", "data.creditsUsed", "data.credits_consumed", "data.creditsConsumed", "data.consume_credits",
    "data.consumeCredits", "data.credits_cost", "data.credit_cost", "data.usage.credits", "data.credits",
    "data.credit", "usage.credits", "credits_used", "credits",
}

--- The kind of a refusal: the first entry with one of its `words` in the code, the type or the message, in lower case.
schema.hints = {
    {
        kind = "moderated",
        words = {
            "moderat", "nsfw", "content filter", "content_filter", "sensitive content", "sensitivecontent",
            "flagged as sensitive", "violating content polic",
        },
    },
    {
        kind = "rejected",
        words = { "content policy", "content_policy", "policy violation", "policy_violation", "safety" },
    },
    {
        kind = "credits",
        words = {
            "insufficient_credit", "insufficient credit", "insufficient_quota", "insufficient_balance",
            "insufficient balance", "not enough credit", "out of credit",
        },
    },
}

--- The same for types and codes without a number.
schema.type_hints = {
    { kind = "auth", words = { "auth", "api_key", "permission", "forbidden" } },
    { kind = "rate_limited", words = { "rate_limit", "rate limit", "too_many", "too many" } },
    { kind = "not_found", words = { "not_found", "not found" } },
    { kind = "invalid_request", words = { "invalid", "validation", "bad_request" } },
    { kind = "server", words = { "server_error", "internal", "overloaded", "unavailable" } },
}

return {
    response = schema,
    -- Response headers with a request id, for the support of the service.
    trace_headers = { "x-request-id", "request-id", "x-trace-id", "cf-ray" },
}
