-- One call through LuaJIT's FFI. Usage: call.lua HEADER LIBRARY
local ffi = require("ffi")
ffi.cdef(assert(io.open(arg[1])):read("*a"))
local elk = ffi.load(arg[2])

local client = ffi.gc(elk.elk_client_new(nil, 0), elk.elk_client_free)
local request = '{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}'
local answer = ffi.gc(elk.elk_chat_completions(client, request, #request, nil), elk.elk_result_free)
assert(elk.elk_result_status(answer) == elk.ELK_OK, ffi.string(elk.elk_result_message(answer)))

local length = ffi.new("size_t[1]")
local text = elk.elk_result_text(answer, length)
local refused = ffi.gc(elk.elk_get(client, "/nowhere", nil), elk.elk_result_free)
assert(elk.elk_result_status(refused) == elk.ELK_E_NOT_FOUND)
print(string.format("elkapi %s: %s, status %d; %s %d", ffi.string(elk.elk_version()),
    ffi.string(text, length[0]), elk.elk_result_status(answer),
    ffi.string(elk.elk_status_name(elk.ELK_E_NOT_FOUND)), elk.ELK_E_NOT_FOUND))
