-- One exchange of a relay with the store. Values of services are "EPOCH RELAY RECORD".
local EPOCH, RELAYS, ALIVE, SERVICES, CHANGES, GONE, FLOOR = unpack(KEYS)
-- Services that are gone and remembered, for relays that ask what has changed.
local MAX_GONE = 10000
local at = 0
local function word()
  at = at + 1
  return ARGV[at]
end
local node, about, lease, seen, wants_all = word(), word(), tonumber(word()), tonumber(word()), word()
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local epoch = tonumber(redis.call('GET', EPOCH) or '0')
if epoch < seen then
  epoch = seen
end
local function text(number)
  return string.format('%.0f', number)
end
local function holder(value)
  return string.match(value, '^(%d+) (%S+) ')
end
local function remove(key)
  epoch = epoch + 1
  redis.call('HDEL', SERVICES, key)
  redis.call('ZREM', CHANGES, key)
  redis.call('ZADD', GONE, text(epoch), key)
end

-- Relays whose lease is over have nothing any more, the asking one included.
local until_ = redis.call('ZSCORE', ALIVE, node)
local is_new = (until_ and tonumber(until_) > now) and '0' or '1'
local over = redis.call('ZRANGEBYSCORE', ALIVE, '-inf', now)
if #over > 0 then
  local is_over = {}
  for _, other in ipairs(over) do
    is_over[other] = true
    redis.call('ZREM', ALIVE, other)
    redis.call('HDEL', RELAYS, other)
  end
  local all = redis.call('HGETALL', SERVICES)
  for i = 1, #all, 2 do
    local _, other = holder(all[i + 1])
    if is_over[other] then
      remove(all[i])
    end
  end
end
redis.call('ZADD', ALIVE, text(now + lease), node)
redis.call('HSET', RELAYS, node, about)

local claims = {}
for i = 1, tonumber(word()) do
  local key, record, takes_over = word(), word(), word()
  local value = redis.call('HGET', SERVICES, key)
  local _, other = nil, nil
  if value then
    _, other = holder(value)
  end
  if other and other ~= node and takes_over ~= '1' then
    claims[i] = '0'
  else
    epoch = epoch + 1
    redis.call('HSET', SERVICES, key, text(epoch) .. ' ' .. node .. ' ' .. record)
    redis.call('ZADD', CHANGES, text(epoch), key)
    redis.call('ZREM', GONE, key)
    claims[i] = text(epoch)
  end
end
for _ = 1, tonumber(word()) do
  local key, by = word(), word()
  local value = redis.call('HGET', SERVICES, key)
  if value then
    local current, other = holder(value)
    if other == node and current == by then
      remove(key)
    end
  end
end
redis.call('SET', EPOCH, text(epoch))
local excess = redis.call('ZCARD', GONE) - MAX_GONE
if excess > 0 then
  local oldest = redis.call('ZRANGE', GONE, excess - 1, excess - 1, 'WITHSCORES')
  redis.call('SET', FLOOR, oldest[2])
  redis.call('ZREMRANGEBYRANK', GONE, 0, excess - 1)
end

local answer = {text(epoch), is_new}
local is_complete = wants_all == '1' or seen < tonumber(redis.call('GET', FLOOR) or '0')
answer[3] = is_complete and '1' or '0'
local relays = redis.call('HGETALL', RELAYS)
answer[4] = text(#relays / 2)
for _, part in ipairs(relays) do
  answer[#answer + 1] = part
end
local changes = {}
if is_complete then
  changes = redis.call('HGETALL', SERVICES)
else
  local since = '(' .. text(seen)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', CHANGES, since, '+inf')) do
    changes[#changes + 1] = key
    changes[#changes + 1] = redis.call('HGET', SERVICES, key) or ''
  end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', GONE, since, '+inf')) do
    changes[#changes + 1] = key
    changes[#changes + 1] = ''
  end
end
answer[#answer + 1] = text(#changes / 2)
for _, part in ipairs(changes) do
  answer[#answer + 1] = part
end
answer[#answer + 1] = text(#claims)
for _, part in ipairs(claims) do
  answer[#answer + 1] = part
end
return answer
