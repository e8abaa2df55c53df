-- Writes and removes records of tunnels as HVYM's server keeps them. What another relay has written stays while that relay serves it by a
-- newer claim. WRITERS: by the address of a tunnel, "RELAY SERVICE" of who wrote its record.
local SERVICES, WRITERS, ACTIVE = unpack(KEYS)
local node, ttl, sweeps = ARGV[1], ARGV[2], ARGV[3]
local function holder(service)
  local value = redis.call('HGET', SERVICES, service)
  if value then
    local epoch, relay = string.match(value, '^(%d+) (%S+) ')
    return tonumber(epoch), relay
  end
end
-- By which epoch whoever wrote the record still serves, and who that is.
local function written(address)
  local value = redis.call('HGET', WRITERS, address)
  if value then
    local relay, service = string.match(value, '^(%S+) (.*)$')
    local epoch, current = holder(service)
    if current == relay then
      return epoch, relay
    end
  end
end
local function remove(address)
  redis.call('DEL', 'hvym_tunnel:' .. address)
  redis.call('SREM', ACTIVE, address)
  redis.call('HDEL', WRITERS, address)
end

-- What relays left behind that are gone, and nobody was there to see it.
if sweeps == '1' then
  for _, address in ipairs(redis.call('HKEYS', WRITERS)) do
    if not written(address) then
      remove(address)
    end
  end
end
for i = 4, #ARGV, 3 do
  local address, service, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local newest, writer = written(address)
  if service == '' then
    if not newest then
      remove(address)
    end
  else
    local epoch, relay = holder(service)
    if relay == node and (not newest or writer == node or newest < epoch) then
      redis.call('SET', 'hvym_tunnel:' .. address, record, 'EX', ttl)
      redis.call('SADD', ACTIVE, address)
      redis.call('HSET', WRITERS, address, node .. ' ' .. service)
    end
  end
end
