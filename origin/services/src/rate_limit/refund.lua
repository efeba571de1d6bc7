-- Takes back the last count of each of these limits, as rate_limit.rs does. KEYS and ARGV as for limits.lua.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
for n, key in ipairs(KEYS) do
  local rule = ARGV[3 * n - 2]
  local limit, period = tonumber(ARGV[3 * n - 1]), tonumber(ARGV[3 * n])
  local stored = redis.call('GET', key)
  local a, c, b = string.match(stored or '', '^(%d+) (%d+) (%d+)$')
  if a then
    local at, count = tonumber(a), tonumber(c)
    if rule == 'bucket' then
      at = math.max(at - math.floor(period / limit), 0)
    else
      count = math.max(count - 1, 0)
      if rule == 'slowdown' then at = math.min(at, now) end
    end
    redis.call('SET', key, string.format('%.0f %.0f %s', at, count, b), 'KEEPTTL')
  end
end
return 0
