-- Asks the edge about a request before HAProxy passes it on (forward authentication). HAProxy 2.5 or newer, with Lua.
-- The address of the edge is in the environment: EDGE=127.0.0.1:8787.

local edge = os.getenv("EDGE") or "127.0.0.1:8787"
local url = "http://" .. edge .. "/_tollgate/validate"
-- What the edge needs of the request: the client's credentials, and what haproxy.cfg says about the client.
local passed = { "authorization", "dpop", "x-forwarded-for", "x-forwarded-proto", "x-request-id" }
-- What HAProxy must not copy from the edge's refusal.
local hop_by_hop = { ["connection"] = true, ["content-length"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true }

-- All values of a header, as a list from 1.
local function values(headers, name)
    local list = {}
    local known = headers[name]
    if known then
        for index = 0, #known do
            if known[index] then list[#list + 1] = known[index] end
        end
    end
    return list
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply { status = status, body = body }
    for name in pairs(headers) do
        if not hop_by_hop[name] then
            for _, value in ipairs(values(headers, name)) do reply:add_header(name, value) end
        end
    end
    txn:done(reply)
end

core.register_action("tollgate_auth", { "http-req" }, function(txn)
    local sent = txn.http:req_get_headers()
    -- Only the edge says who the caller is.
    for name in pairs(sent) do
        if name:sub(1, 11) == "x-tollgate-" then txn.http:req_del_header(name) end
    end
    local asked = {
        ["x-original-uri"] = { txn.sf:pathq() },
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-host"] = { sent["host"] and sent["host"][0] or "" },
    }
    for _, name in ipairs(passed) do
        local list = values(sent, name)
        if #list > 0 then asked[name] = list end
    end
    local answer = core.httpclient():get { url = url, headers = asked, timeout = 5000 }
    if answer.status == 200 then
        for name in pairs(answer.headers) do
            local value = values(answer.headers, name)[1]
            -- Without an identity the edge's headers are empty.
            if name:sub(1, 11) == "x-tollgate-" and value and value ~= "" then
                txn.http:req_set_header(name, value)
            end
        end
    elseif answer.status and answer.status >= 400 then
        refuse(txn, answer.status, answer.headers, answer.body)
    else
        refuse(txn, 503, {}, "the edge does not answer\n")
    end
end, 0)
