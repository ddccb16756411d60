-- Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw.
local elkapi = require("elkapi")
local ffi = require("ffi")
ffi.cdef("struct timespec { long seconds, nanoseconds; }; int clock_gettime(int, struct timespec *); void *signal(int, void *);")

-- The luajit program takes its handler of SIGINT away after the first; this puts it back.
local handler = ffi.C.signal(2, nil)
local function await_interrupts()
    ffi.C.signal(2, handler)
end
await_interrupts()

local function now()
    local time = ffi.new("struct timespec")
    ffi.C.clock_gettime(1, time)
    return tonumber(time.seconds) * 1000 + tonumber(time.nanoseconds) / 1e6
end

local NULL = {}
local function tell(facts)
    local members = {}
    for name, value in pairs(facts) do
        local json = type(value) == "string" and elkapi.quote(value) or value == NULL and "null" or tostring(value)
        members[#members + 1] = elkapi.quote(name) .. ":" .. json
    end
    io.write("{", table.concat(members, ","), "}\n")
    io.flush()
end

local MOSS = '{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}'
local function open(config)
    return elkapi.client(config ~= "" and config or nil)
end
local function after(good)
    return open(good):chat_completions(MOSS):text()
end
local function known(value)
    return value == nil and NULL or value
end

local function facts(answer)
    return {
        text = answer:text(), verdict = answer:verdict(), status = known(answer:number("/call/status")),
        model = known(answer:get("/model")), tokens = known(answer:number("/usage/total_tokens")),
        request_id = known(answer:request_id()), nothing = known(answer:get("/nothing/here")),
        choices = answer:count("/choices"), type = answer:type("/choices/0/message"),
        media = known(answer:header("content-type")), models = answer:count("/data"),
    }
end

local function failure(wrong)
    if getmetatable(wrong) ~= elkapi.Error then error(wrong, 0) end
    return {
        kind = wrong.kind, status = known(wrong.status), request_id = known(wrong.request_id),
        retryable = wrong.retryable, billed = wrong.billed, message = tostring(wrong),
        retry_after_ms = known(wrong.retry_after_ms), partial = wrong.answer:text(), verdict = wrong.answer:verdict(),
    }
end

local function read(client, request, limit, told, first)
    told.chunks, told.text = 0, ""
    local stream = client:stream(request)
    for chunk in stream:chunks() do
        told.chunks, told.text = told.chunks + 1, told.text .. chunk.text
        told.json = chunk.json:find('^{.*"choices":%[') ~= nil
        if first and chunk.text ~= "" then
            first = false
            tell({ first = chunk.text })
        end
        if told.chunks == limit then return stream:close() end
    end
    local whole = stream:answer()
    told.whole, told.verdict, told.tokens = whole:text(), whole:verdict(), whole:number("/usage/total_tokens")
end

local function stopping(client, request, how, cancel, on_begun)
    if how == "unary" then return client:chat_completions(request, cancel) end
    local begun = false
    for chunk in client:stream(request, cancel):chunks() do
        if not begun and chunk.text ~= "" then
            begun = true
            tell({ begun = true })
            if on_begun then on_begun() end
        end
    end
end

local function drive(what, config, request, argument, good)
    if what == "version" then return { version = elkapi.version() } end
    local client, number = open(config), tonumber(argument)
    if what == "ask" then
        if argument ~= "" then client = client:with(argument) end
        return facts(client:chat_completions(request))
    elseif what == "get" then
        return facts(client:get(argument))
    elseif what == "stream" or what == "first" then
        local told = {}
        local fine, wrong = pcall(read, client, request, number, told, what == "first")
        if not fine then
            for name, value in pairs(failure(wrong)) do told[name] = value end
        elseif number then
            told.after = after(good)
        end
        return told
    elseif what == "cancel" then
        -- Lua has one thread: the call is a coroutine that yields while it waits, and this one cancels it.
        client.wait = coroutine.yield
        local cancel, wrong, begun = elkapi.cancel(), nil, argument ~= "stream"
        local waiting = coroutine.create(function()
            wrong = select(2, pcall(stopping, client, request, argument, cancel, function() begun = true end))
        end)
        tell({ waiting = true })
        repeat assert(coroutine.resume(waiting)) until begun
        io.read()
        local started = now()
        cancel:signal()
        repeat assert(coroutine.resume(waiting)) until coroutine.status(waiting) == "dead"
        local told = failure(wrong)
        told.ms = now() - started
        tell(told)
        return { after = after(good) }
    elseif what == "interrupt" then
        await_interrupts()
        tell({ waiting = true })
        local fine, wrong = pcall(stopping, client, request, argument)
        tell({ interrupted = not fine and tostring(wrong):find("interrupted!") ~= nil })
        return { after = after(good) }
    elseif what == "concurrent" then
        client.wait = coroutine.yield
        local texts, threads = {}, {}
        for i = 1, number do
            threads[i] = coroutine.create(function() texts[i] = client:chat_completions(request):text() end)
        end
        repeat
            local alive = false
            for _, thread in ipairs(threads) do
                if coroutine.status(thread) ~= "dead" then
                    assert(coroutine.resume(thread))
                    alive = true
                end
            end
        until not alive
        return { texts = table.concat(texts, ",") }
    elseif what == "picture" then
        local images = client:chat_completions(request):images()
        images[1].save(argument)
        return { images = #images, media_type = images[1].media_type, bytes = #images[1].bytes }
    elseif what == "forget" then
        for _ = 1, number do open(config):chat_completions(request) end
        client = nil
        collectgarbage()
        collectgarbage()
        return { made = number }
    elseif what == "close" then
        local clients = { client }
        for i = 2, number do clients[i] = open(config) end
        local answer
        for _, one in ipairs(clients) do
            answer = one:chat_completions(request)
            answer:close()
            answer:close()
        end
        for _, one in ipairs(clients) do
            one:close()
            one:close()
        end
        local function refused(what, ...)
            local fine, wrong = pcall(what, ...)
            return not fine and wrong:find("is closed") ~= nil
        end
        return { made = #clients, refused = refused(client.chat_completions, client, request),
                 answer_refused = refused(answer.text, answer) }
    end
end

for line in io.lines() do
    local parts = {}
    for part in (line .. "\t"):gmatch("(.-)\t") do parts[#parts + 1] = part end
    local fine, told = pcall(drive, unpack(parts))
    tell(fine and told or failure(told))
end
