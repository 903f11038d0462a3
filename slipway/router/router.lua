-- What HAProxy cannot say or do by itself: explain a refusal, count it, and bound large uploads.
-- Nothing here runs for a request that a replica answers, unless it has a larger body.

local largest_body, minimum_rate -- bytes, and bytes a second: the arguments of `filter lua.upload`

local SENTENCES = {
  unknown_path = "This path leads nowhere. Web services answer on /api/v1/service/<name>/score and /api/v1/service/<name>/swagger.json.",
  unknown_service = "There is no web service of this name, or it cannot be served.",
  unknown_version = "This web service has no version of the name in the header `azureml-model-deployment`.",
  method_not_allowed = "This path does not answer this method. The header `allow` names those that it does.",
  key_missing = "This web service needs a key. Send one in the header `Authorization: Bearer <key>`.",
  key_wrong = "This is not a valid key of this web service. It may have been regenerated.",
  token_missing = "This web service needs a token. Send one in the header `Authorization: Bearer <token>`; `slipway token` gets it.",
  token_wrong = "No router of this cluster signed this token, or so long ago that its key is gone.",
  token_expired = "This token has expired. Get a new one.",
  token_not_yet_valid = "This token is not valid yet: the clocks of this cluster differ.",
  token_of_another_service = "This token is another web service's.",
  too_many_failures = "This request has no valid key or token, as many others from this address. One that has is let in.",
  no_tokens = "This web service takes no tokens.",
  login_missing = "A token is given to whom Kubernetes knows. Send your Kubernetes token (on AKS: Entra's) in the header `Authorization: Bearer <token>`; on this machine, a key.",
  login_wrong = "Kubernetes does not know this login, or it has expired; on this machine, it is not a key of this web service.",
  token_forbidden = "You lack the right to get a token: `create` on `webservices/token` in group `slipway`, for this name, in the namespace of the web service.",
  tokens_busy = "Too many ask for tokens. Try again; tokens that are in use go on working.",
  tokens_unavailable = "Kubernetes cannot be asked who you are. Try again; tokens that are in use go on working.",
  too_many_clients = "As many connections are open as the router serves at once.",
  too_many_uploads = "As many larger bodies are under way as the router has memory for, or as one web service may have.",
  body_too_large = "The body is larger than 104,857,600 bytes, the most that a web service takes.",
  body_unreadable = "The body could not be read: it ended early, or its framing is wrong.",
  upload_too_slow = "The body arrived too slowly: a large body must keep up a minimum rate, and none may stop for long.",
  queue_timeout = "Every replica stayed busy for as long as this request may wait (max_request_wait_time).",
  no_replica = "No replica of the web service was ready for as long as this request may wait (max_request_wait_time).",
  replica_unreachable = "The replica did not take the connection, so the request was not run.",
  replica_failed = "The replica ended without an answer. The request may have been run, so it was not sent again.",
  owner_failed = "The router pod that this request was handed to ended, or did not answer in time. The request may have been run, so it was not sent again.",
  scoring_timeout = "The replica did not answer within scoring_timeout_ms.",
  https_required = "This name takes HTTPS only. A key that came with this request could be read on its way: regenerate it.",
  router_error = "The router could not carry this request.",
}

local BY_STATUS = { ["400"] = "body_unreadable", ["408"] = "upload_too_slow", ["500"] = "router_error",
  ["502"] = "replica_failed", ["504"] = "scoring_timeout" }

local routes = Map.new("routes.map", Map._str) -- HAProxy's own, as commands change it

-- Whether a name is a web service's, one with versions too, whose backends have other names.
local function is_service(name)
  return name:match("^%l") and (core.backends[name] or routes:lookup("/api/v1/service/" .. name .. "/score")) and true
end

local counts = {}
local LINES = 100 -- of refused and failed requests, in the access log a second
local second, told = 0, 0

-- Count a request that was refused or failed, and say whether it gets a line in the access log: of the first LINES a
-- second each does, then fewer and fewer; txn.sample is how many one stands for.
local function tell(request, service, reason)
  if reason then
    -- A name that anybody made up must not become a label.
    local place = (service and is_service(service) and service or "_") .. " " .. reason
    counts[place] = (counts[place] or 0) + 1
    request:set_var("txn.refused", reason)
  end
  local now = core.now().sec
  if now ~= second then second, told = now, 0 end
  told = told + 1
  local sample = math.ceil(told / LINES)
  request:set_var("txn.sample", sample)
  request:set_var("txn.logged", math.random(sample) == 1)
end

-- A request is seen either as a transaction or, by a service that answers it, as an applet, which may not fetch its path
-- and has none where the client gave none: `POST *`.
local function path_of(request)
  return request.path or not request.method and request.f:path() or ""
end

-- The service that a request is for: its backend, or what its path says, or said when it was read.
local function service_of(request)
  local backend = request.f:be_name() or ""
  if backend:match("^%l") then return backend, core.backends[backend] end
  return request:get_var("txn.endpoint") or path_of(request):match("^/api/v1/service/([%w%-%._]+)/[^/]+$"), nil
end

-- A boolean of HAProxy's is a number here.
local function is_true(value)
  return value == true or value == 1
end

local HANDS_ON = { _peers = true, _detour = true, _next = true, _again = true } -- the backends that hand requests on

-- Whether who a body was handed on to tells that it ended.
local function told_by_another(request, given)
  return given == "400" and HANDS_ON[request.f:be_name()] and request.f:srv_id() ~= nil
end

local function reason_of(request, given, proxy)
  local already = request:get_var("txn.refused")
  if already then return already end
  if given == "unknown" then
    local path = path_of(request)
    local known = path:match("^/api/v1/service/[^/]+/score$") or path:match("^/api/v1/service/[^/]+/swagger%.json$")
    local of = path:match("^/api/v1/service/([^/]+)/token$")
    if of then return is_service(of) and "no_tokens" or "unknown_service" end
    return known and "unknown_service" or "unknown_path"
  elseif HANDS_ON[request.f:be_name()] and given:match("^5") then
    return request.f:be_name() == "_peers" and "owner_failed" or "router_error"
  elseif given ~= "503" then
    return BY_STATUS[given] or given
  elseif not proxy then
    return "router_error"
  elseif proxy:get_srv_act() == 0 then
    return "no_replica"
  end
  return request.f:srv_id() and "replica_unreachable" or "queue_timeout"
end

-- Whether the client left before its answer, of which HAProxy says 400 too: what is with a web service's replica, but did not
-- come by `_upload`, had its body read before it was queued.
local function client_left(request, given)
  return given == "400" and request.f:srv_id() and request.f:fe_id() ~= 3 and request.f:be_name():match("^%l")
end

-- Explain a refusal, and count it unless nobody is to be told.
local function refusal(request, given, untold)
  if client_left(request, given) then
    request:set_var("txn.refused", "client_left")
    return ""
  end
  local service, proxy = service_of(request)
  local reason = reason_of(request, given, proxy)
  if not untold and not told_by_another(request, given) then tell(request, service or "", reason) end
  -- Refused before it got to its backend, as a body that is too large.
  proxy = proxy or service and service:match("^%l") and core.backends[service]
  local name = service and #service <= 63 and ('"' .. service .. '"') or "null"
  local queued = proxy and request.f:queue(service) or 0
  local pinned = reason == "unknown_version" and request.headers["azureml-model-deployment"][0]:match("^[%w%-]+$")
  return string.format('{"reason":"%s","message":"%s","service":%s,%s"replicas":%d,"queued":%d}', reason, SENTENCES[reason],
    name, pinned and #pinned <= 63 and ('"version":"' .. pinned .. '",') or "", proxy and proxy:get_srv_act() or 0, queued)
end

-- %[lua.refusal(REASON)]: the body of a refusal. REASON is a reason, or a status that HAProxy chose.
core.register_fetches("refusal", refusal)

-- %[lua.uploading(WEIGHT,...)]: how much memory larger bodies take, in units, and those of this backend once more: with
-- as much as is free it has its share. `_uploads` counts requests by weight, `_shares` by weight and backend.
core.register_fetches("uploading", function(request, ...)
  local share, sum = ":" .. request.f:be_name(), 0
  for _, weight in ipairs({ ... }) do
    for key, count in pairs({ [weight] = core.backends._uploads, [weight .. share] = core.backends._shares }) do
      local found = count.stktable:lookup(key)
      sum = sum + (found and found.conn_cur or 0) * tonumber(weight)
    end
  end
  return sum
end)

local GRACE = 1.0 -- seconds that a client may be late
local PIECE = 16384 -- bytes of a body that nobody wants, at once: who sends less and stops holds no more than that

local function now()
  local time = core.now()
  return time.sec + time.usec / 1e6
end

-- Read a body that nobody wants, up to so many bytes, and as long as it keeps up the minimum rate.
local function hear_out(applet, most)
  local read, begin = 0, now()
  repeat
    local piece = applet:receive(PIECE)
    read = read + #piece
  until #piece < PIECE or read > most or now() - begin > GRACE + read / minimum_rate
end

-- http-request use-service lua.refuse_*: refuse a request before it gets to a queue. Its body is read first: if a
-- connection is closed while a body comes in, the client is reset and may never see the answer.
local function refuse(status, given, header, value)
  return function(applet)
    local status, value = status, value
    if type(value) == "function" then
      value = value(applet)
      if not value then status = 403 end
    end
    local body = refusal(applet, given)
    -- Of the many that come when there are too many, a little.
    hear_out(applet, status == 503 and 64 * PIECE or 2 * largest_body)
    applet:set_status(status)
    applet:add_header("content-type", "application/json")
    applet:add_header("content-length", #body)
    if value then applet:add_header(header, value) end
    applet:start_response()
    applet:send(body)
  end
end

core.register_service("refuse_unknown", "http", refuse(404, "unknown"))
core.register_service("refuse_version", "http", refuse(404, "unknown_version"))
core.register_service("refuse_method", "http", refuse(405, "method_not_allowed", "allow", "GET, POST, OPTIONS"))
core.register_service("refuse_token_method", "http", refuse(405, "method_not_allowed", "allow", "POST"))
core.register_service("refuse_too_many", "http", refuse(429, "too_many_failures", "retry-after", "10"))
core.register_service("refuse_unauthorized", "http", refuse(401, "401", "www-authenticate", "Bearer"))
core.register_service("refuse_clients", "http", refuse(503, "too_many_clients", "retry-after", "1"))
core.register_service("refuse_uploads", "http", refuse(503, "too_many_uploads", "retry-after", "1"))
core.register_service("refuse_size", "http", refuse(413, "body_too_large"))
core.register_service("refuse_http", "http", refuse(403, "https_required"))

-- The same by HTTPS, where that has its own port; nil if the request does not say which host it wants.
local function by_https(applet)
  local hosts = applet.headers["host"]
  local host = hosts and hosts[0]:gsub(":%d*$", ""):match("^[%w%.%-%[%]:]+$")
  if not host then return nil end
  return "https://" .. host .. applet.path .. (applet.qs ~= "" and "?" .. applet.qs or "")
end

core.register_service("redirect", "http", refuse(308, "https_required", "location", by_https))

-- http-request lua.await_hold: around a start or a reload, keep requests for a service without replicas out of its
-- queue: before the slot of its `_hold` is taken they would get it themselves. So it is with those for a service that this
-- worker does not know, if another router did. A worker that is replaced never hears of what changes: the next one gets all.
core.register_action("await_hold", { "http-req" }, function(txn)
  local service, handed, left = txn:get_var("txn.service") or "_unknown", txn:get_var("txn.handed"), 2000
  local proxy = service:match("^%l") and core.backends[service] or nil
  local waits = not txn:get_var("txn.owner") and (proxy or not (handed or "_"):match("^_"))
  repeat
    local held = is_true(txn:get_var("proc.held"))
    if not held and is_true(txn.f:stopping()) then
      txn:unset_var("txn.owner")
      txn:set_var("txn.service", handed and "_again" or "_next")
      return
    end
    if not waits or proxy and (held or proxy:get_srv_act() > 0) then return end
    core.msleep(5)
    left = left - 5
  until left <= 0
end)

-- tcp-response content lua.unanswered: answer in place of a router that ended, or was silent for too long. Where the client
-- left, by HTTP/2, there is no answer either. By HTTP/1 it may only have closed its half of the connection; so it is answered,
-- but not counted as a failure.
core.register_action("unanswered", { "tcp-res" }, function(txn)
  local left = not txn.req:may_recv()
  if left and txn.f:fc_http_major() == 2 then return end
  local reply = txn:reply({ status = 502, body = refusal(txn, "502", left) })
  reply:add_header("content-type", "application/json")
  txn:done(reply)
end)

local traffic, traffics = {}, 0 -- what values of `versions.map` mean, by value, and how many are known

local function read_traffic(text)
  if traffics == 1000 then traffic, traffics = {}, 0 end
  local versions, whole = {}, 0
  for name, part in text:gmatch("([^=,]+)=(%d+)") do
    part = tonumber(part)
    whole = whole + part
    versions[#versions + 1] = { name = name, part = part, proxy = core.backends[name] }
  end
  versions.whole = whole
  traffic[text], traffics = versions, traffics + 1
  return versions
end

local function is_up(version)
  return version.proxy and version.proxy:get_srv_act() > 0
end

-- One of some versions by chance, in proportion to their parts, which sum up to `whole`.
local function drawn(versions, whole)
  local place = math.random(whole)
  for _, version in ipairs(versions) do
    place = place - version.part
    if place <= 0 then return version end
  end
end

-- SERVICE=PARTS,...,lua.version: the version to which a request goes. One without a replica that is up gets nothing: its
-- part goes to the default, which is the first; if that has none itself, to the others in proportion; if none has any, to
-- the default, where it waits.
core.register_converters("version", function(text)
  local versions = traffic[text] or read_traffic(text)
  local version, default = drawn(versions, versions.whole), versions[1]
  if is_up(version) then return version.name end
  if is_up(default) then return default.name end
  local up, whole = {}, 0
  for _, other in ipairs(versions) do
    if is_up(other) then up[#up + 1], whole = other, whole + other.part end
  end
  return (whole > 0 and drawn(up, whole) or default).name
end)

-- http-response lua.failed: the replica explains this one itself; here it is counted, and gets v1's status.
core.register_action("failed", { "http-res" }, function(txn)
  local reason = txn.f:status() == 504 and "scoring_timeout" or nil
  if (txn.f:res_hdr("x-ms-run-function-failed") or ""):lower() == "true" then
    txn.http:res_set_status(502)
    reason = "run_failed"
  end
  tell(txn, txn.f:be_name(), reason)
end)

-- `show refusals` on a worker's command socket: a line for each service and reason, `_` for no service.
core.register_cli({ "show", "refusals" }, "show refusals : refused and failed requests", function(applet)
  local lines = {}
  for place, number in pairs(counts) do lines[#lines + 1] = place .. " " .. number .. "\n" end
  applet:send(table.concat(lines))
end)

-- filter lua.upload LARGEST RATE: refuses a body above LARGEST bytes, whatever its headers said, and one that comes
-- in at less than RATE bytes a second while a replica waits for it.
local Upload = { id = "upload", flags = filter.FLT_CFG_FL_HTX }
Upload.__index = Upload

function Upload:new()
  return setmetatable({ bytes = 0, waited = 0, idle_since = nil }, Upload)
end

function Upload:start_analyze(txn, channel)
  if not channel:is_resp() then filter.register_data_filter(self, channel) end
end

function Upload:http_payload(txn, message)
  self.bytes = self.bytes + message:input()
  if self.idle_since then
    self.waited = self.waited + now() - self.idle_since
    if self.waited > GRACE + self.bytes / minimum_rate then self:refuse(txn, "upload_too_slow") end
  end
  -- Only while the replica has taken all there is, and is there at all, does it wait for the client.
  local waiting = message:output() == 0 and txn.f:srv_id() ~= nil
  self.idle_since = waiting and now() or nil
  if self:too_large() then
    if self.bytes > 2 * largest_body then self:refuse(txn, "body_too_large") end
    message:remove() -- read on, so that the client sees the answer, but pass nothing on
  end
end

function Upload:http_end(txn, message)
  if self:too_large() then self:refuse(txn, "body_too_large") end
end

function Upload:too_large()
  -- The end of a chunked body counts as a byte; any other body was refused by its content-length.
  return self.bytes > largest_body + 1
end

-- Raising an error is the one way in which HAProxy lets a filter end a request.
function Upload:refuse(txn, reason)
  txn:set_var("txn.refused", reason)
  error(reason)
end

core.register_filter("upload", Upload, function(class, arguments)
  largest_body, minimum_rate = tonumber(arguments[1]), tonumber(arguments[2])
  return class
end)
