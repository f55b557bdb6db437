--- The time after which a wait in a spec counts as a hang: the only function that depends on the speed of the run.
-- tools/run-specs sets the factor in FLUX2_TEST_SLACK, for ThreadSanitizer and valgrind. Promised times (a Retry-After
-- pause, a rate) are never extended: only bounds for hangs, and timeouts that must expire after another event.
local slack = tonumber(os.getenv "FLUX2_TEST_SLACK") or 1

return function(seconds) return seconds * slack end
