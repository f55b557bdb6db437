--- How long something in a spec may take before it is a hang: the one place that knows that a run is slow.
-- tools/run-specs says by how much in FLUX2_TEST_SLACK, for ThreadSanitizer and valgrind. What a promise says of time (a
-- pause that a server asks for, a rate) is never stretched: only what would otherwise be called a hang, and time-outs
-- that have to come later than something else.
local slack = tonumber(os.getenv "FLUX2_TEST_SLACK") or 1

return function(seconds) return seconds * slack end
