-- The version number; tools/version reads it too.

local M = {}

M._VERSION = "0.1.0"

return M
