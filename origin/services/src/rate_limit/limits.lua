-- Counts one for each of these limits, or for none of them if one is exceeded. Same arithmetic as
-- rate_limit.rs of tollgate-model.
-- KEYS: the limits. ARGV: for each limit the rule, its count and its period.
-- Returns {0, remaining, reset, remaining, reset, ...}, or {n, reset, wait} of the first limit that is
-- exceeded. All times are microseconds; numbers up to 2^53 are exact.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local result, writes = {0}, {}

local function fallen(counted, left, period)
  if counted <= left then return 0 end
  return math.ceil((counted - left) * period / counted)
end

for n, key in ipairs(KEYS) do
  local rule = ARGV[3 * n - 2]
  local limit, period = tonumber(ARGV[3 * n - 1]), tonumber(ARGV[3 * n])
  local at, count, before = 0, 0, 0
  local stored = redis.call('GET', key)
  if stored then
    local a, c, b = string.match(stored, '^(%d+) (%d+) (%d+)$')
    at, count, before = tonumber(a) or 0, tonumber(c) or 0, tonumber(b) or 0
  end
  local remaining, reset, wait, ends = 0, 0, 0, 0
  if rule == 'bucket' then
    local spacing = math.floor(period / limit)
    local depth = spacing * limit
    local full_at = math.max(at, now)
    local after = full_at + spacing
    if after > now + depth then
      reset, wait = full_at - now, after - now - depth
    else
      at, reset, ends = after, after - now, after
      remaining = math.floor((now + depth - after) / spacing)
    end
  elseif rule == 'window' then
    if now >= at + 2 * period then
      at, count, before = now, 0, 0
    elseif now >= at + period then
      at, before, count = at + period, count, 0
    end
    local gone = math.min(math.max(now - at, 0), period)
    local reaching = math.ceil(before * (period - gone) / period)
    reset = at + 2 * period - now
    if count + reaching + 1 > limit then
      if count + 1 > limit then
        wait = period - gone + fallen(count, limit - 1, period)
      else
        wait = math.max(fallen(before, limit - 1 - count, period) - gone, 0)
      end
      wait = math.max(wait, 1)
    else
      count = count + 1
      remaining, ends = limit - count - reaching, at + 2 * period
    end
  else
    if now >= at + period then
      at, count = now, 0
    end
    if now < at then
      reset, wait = at - now, at - now
    else
      count = count + 1
      local pause = 0
      if count >= limit then
        pause = math.min(1000000 * 2 ^ math.min(count - limit, 20), 300000000)
      end
      at, reset, ends = now + pause, pause, now + pause + period
      remaining = math.max(limit - count, 0)
    end
  end
  if wait > 0 then return {n, reset, wait} end
  result[2 * n], result[2 * n + 1] = remaining, reset
  writes[n] = {key, string.format('%.0f %.0f %.0f', at, count, before), math.max(math.ceil((ends - now) / 1000), 1)}
end
for _, write in ipairs(writes) do
  redis.call('SET', write[1], write[2], 'PX', write[3])
end
return result
