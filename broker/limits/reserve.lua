--[[
One limit group, shared by all processes: the bucket of bucket.py, tank.py, levels.py and learned.py, decided where
all can see it. One call carries everything that a process has to say and to ask, and is atomic, in this order:

    join       the group's limits, and what the process holds open          (first call, or after the state was lost)
    settle     ends of reservations, then what headers said
    throttle   a pause
    ask        wishes for start times

    KEYS   state, needs (by reservation), starts (by start time), members (by last sign of life), meter (by second)
    ARGV   the request as JSON; seconds for tests that own time, else empty
]]

local LOST_PAUSE_S = 1  -- after a loss: until everybody has said what it holds
local SILENT_S = 30     -- a process that is silent for so long is dead
local HURRY_S = 1       -- how long a lack of slots is news to those who hold some
local REAP_AT_ONCE = 20
local TOLERANCE_S, SHORTEST_RETRY_S = 1e-6, 1e-3

local request = cjson.decode(ARGV[1])

local function remember()
  for i = 2, 4 do redis.call('EXPIRE', KEYS[i], FORGET_S) end
end

-- A slot comes back; what the call took stays taken, since it may well have been made.
local function release(ids, packed)
  for i, id in ipairs(ids) do
    if packed[i] then
      local need = cmsgpack.unpack(packed[i])  -- start, requests, input tokens, output tokens, member
      redis.call('HDEL', NEEDS, id)
      in_flight = in_flight - 1
      hold(-need[2], -need[3], -need[4])
      state.generation = state.generation + 1
    end
    redis.call('ZREM', STARTS, id)
  end
end

local function release_all_of(member)
  local ids, packed = {}, {}
  local all = redis.call('HGETALL', NEEDS)
  for i = 1, #all, 2 do
    if cmsgpack.unpack(all[i + 1])[5] == member then
      ids[#ids + 1], packed[#packed + 1] = all[i], all[i + 1]
    end
  end
  release(ids, packed)
end

local function reap()
  local expired = redis.call('ZRANGEBYSCORE', STARTS, '-inf', now - state.lease, 'LIMIT', 0, REAP_AT_ONCE)
  if #expired > 0 then release(expired, redis.call('HMGET', NEEDS, unpack(expired))) end
end

local function sweep()
  if now >= state.swept and now - state.swept < 1 then return end
  state.swept = now
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', MEMBERS, '-inf', now - SILENT_S)) do
    redis.call('ZREM', MEMBERS, member)
    release_all_of(member)
  end
  remember()
end

local function declare(limits, rho, used_today, again)
  local rest, before = paused_for(), tanks
  tanks = {}
  for _, entry in ipairs(limits) do
    local resource, limit, known = entry[1], entry[2], nil
    for _, tank in ipairs(before) do
      if tank.resource == resource then known = tank end
    end
    if not known then
      known = new_tank(resource, limit, limit, rho, 0, 0, 0)
      if known.daily then
        known.level = known.burst - (used_today[resource] or 0)
      elseif not again then
        known.level = known.per_request  -- cold, but the very first call need not wait
      end
    elseif known.declared ~= limit or known.rho ~= rho then
      known.declared, known.rho = limit, rho
      relimit(known, limit, rest)
    end
    tanks[#tanks + 1] = known
  end
end

local function join(its)
  local lost = false
  if not state then
    redis.call('DEL', NEEDS, STARTS, MEMBERS, METER)
    state = {
      life = number(now) .. '-' .. request.member, at = now, epoch = 0, generation = 0, held = {0, 0, 0},
      bin = {math.floor(now), 0, 0, 0}, swept = now,
    }
    lost = its.again or its.workers > 1  -- a newcomer may be the first whom a server that lost everything meets
  end
  declare(its.limits, its.rho, its.used_today, its.again)
  state.slots = given(its.slots)
  state.lease = its.lease
  state.generation = state.generation + 1
  if its.again then
    -- Calls were made that were not charged here: what could have been saved up meanwhile is spent.
    for _, tank in ipairs(tanks) do
      local most = 0
      if tank.daily then most = its.day_levels[tank.resource] or tank.level end
      tank.level = math.min(tank.level, most)
    end
  end
  if its.pause[1] > paused_for() then pause(its.pause[1], its.pause[2], nil) end
  if lost and paused_for() < LOST_PAUSE_S then pause(LOST_PAUSE_S, 'the shared levels were lost', nil) end
  for _, open in ipairs(its.open) do
    local id, need = open[1], {open[2], open[3], open[4], open[5], request.member}
    if redis.call('HSETNX', NEEDS, id, cmsgpack.pack(need)) == 1 then
      redis.call('ZADD', STARTS, need[1], id)
      in_flight = in_flight + 1
      hold(need[2], need[3], need[4])
      if need[1] > now then take(need, 0) end
    end
  end
  redis.call('ZADD', MEMBERS, now, request.member)
  remember()
end

local function settle(settlements)
  if #settlements == 0 then return end
  local rest, ids = paused_for(), {}
  local requests, input_tokens, output_tokens = 0, 0, 0
  for i, settlement in ipairs(settlements) do ids[i] = settlement[1] end
  local packed, done = redis.call('HMGET', NEEDS, unpack(ids)), {}
  for i, settlement in ipairs(settlements) do
    local id = ids[i]
    if packed[i] and not done[id] then
      done[id] = true
      local need = cmsgpack.unpack(packed[i])
      in_flight = in_flight - 1
      state.generation = state.generation + 1
      hold(-need[2], -need[3], -need[4])
      local more = {0, 0, 0}
      if settlement[2] == 'rejected' then
        more = {0, -need[3], -need[4]}
      elseif settlement[2] == 'not_started' then
        more = {-need[2], -need[3], -need[4]}
      elseif settlement[3] then
        more = {settlement[3] - need[2], settlement[4] - need[3], settlement[5] - need[4]}
      end
      for _, tank in ipairs(tanks) do
        local beyond = amount(tank, more[1], more[2], more[3])
        if beyond ~= 0 then give_back(tank, -beyond, rest) end
      end
      requests, input_tokens, output_tokens = requests + more[1], input_tokens + more[2], output_tokens + more[3]
    end
  end
  redis.call('HDEL', NEEDS, unpack(ids))
  redis.call('ZREM', STARTS, unpack(ids))
  count(requests, input_tokens, output_tokens)
end

local function started_after(tank, moment)
  local later = redis.call('ZRANGEBYSCORE', STARTS, '(' .. number(moment), '+inf')
  local sum = 0
  for from = 1, #later, 1000 do
    for _, packed in ipairs(redis.call('HMGET', NEEDS, unpack(later, from, math.min(from + 999, #later)))) do
      local need = cmsgpack.unpack(packed)
      sum = sum + amount(tank, need[2], need[3], need[4])
    end
  end
  return sum
end

local function observe(observations)
  for _, seen in ipairs(observations) do
    local tank, limit, remaining, sent_at = find(seen[1]), given(seen[2]), given(seen[3]), seen[4]
    if tank and (not limit or limit > 0) and (not remaining or remaining >= 0) then
      if limit then follow(tank, limit) end
      if remaining then
        local age, held = math.max(0, now - sent_at), state.held
        local left = remaining + age * tank.limit / tank.period + SLACK * tank.limit
        if left - amount(tank, held[1], held[2], held[3]) < tank.level then
          tank.level = math.min(tank.level, left - started_after(tank, math.min(sent_at, now)))
        end
      end
    end
  end
end

local function reserve(asks, horizon)
  local starts, retry_in, why = {}, '', ''
  if #asks == 0 then return starts, retry_in, why end
  local rest, ids, fresh, scores, granted = paused_for(), {}, {}, {}, {}
  local requests, input_tokens, output_tokens = 0, 0, 0
  for i, ask in ipairs(asks) do ids[i] = ask[1] end
  local known = redis.call('HMGET', NEEDS, unpack(ids))
  for i, ask in ipairs(asks) do
    local id = ids[i]
    local start = granted[id] or known[i] and cmsgpack.unpack(known[i])[1]
    if not start then
      if state.slots and in_flight >= state.slots then
        why, state.starved = 'slots', now
        break
      end
      local need = {0, ask[2], ask[3], ask[4], request.member}
      local wait, binding = wait_for(need, rest)
      if wait > horizon + TOLERANCE_S then
        local by_pause = rest > horizon or not binding
        why = by_pause and 'paused: ' .. state.reason or binding.resource
        retry_in = number(math.max(wait - horizon, SHORTEST_RETRY_S))
        break
      end
      take(need, wait)
      start = now + math.min(wait, horizon)
      need[1], granted[id] = start, start
      fresh[#fresh + 1], fresh[#fresh + 2] = id, cmsgpack.pack(need)
      scores[#scores + 1], scores[#scores + 2] = number(start), id
      in_flight = in_flight + 1
      requests, input_tokens, output_tokens = requests + need[2], input_tokens + need[3], output_tokens + need[4]
    end
    starts[i] = number(start)
  end
  if #fresh > 0 then
    redis.call('HSET', NEEDS, unpack(fresh))
    redis.call('ZADD', STARTS, unpack(scores))
    if #fresh == 2 * in_flight then remember() end  -- they may be new
  end
  hold(requests, input_tokens, output_tokens)
  count(requests, input_tokens, output_tokens)
  return starts, retry_in, why
end

local function used()
  local sums, second = {0, 0, 0}, math.floor(now)
  local function add(bin)
    if second - bin[1] < 0 or second - bin[1] >= 60 then return end
    for i = 1, 3 do sums[i] = sums[i] + bin[i + 1] end
  end
  local bins = redis.call('HGETALL', METER)
  for i = 1, #bins, 2 do
    if tonumber(bins[i]) ~= state.bin[1] % 60 then add(cmsgpack.unpack(bins[i + 1])) end
  end
  add(state.bin)
  for i = 1, 3 do sums[i] = number(math.max(0, sums[i])) end
  return table.concat(sums, ' ')
end

local saved = redis.call('GET', STATE)
if saved then
  state = cmsgpack.unpack(saved)
  for i, tank in ipairs(state.tanks) do tanks[i] = new_tank(unpack(tank)) end
  in_flight = redis.call('HLEN', NEEDS)
  elapse()
end
local seen = redis.call('ZSCORE', MEMBERS, request.member)
local its = given(request.join)
if its then
  join(its)
elseif not state or not seen or state.life ~= request.life then
  return {'stranger', number(now)}  -- nothing was done, and nothing saved: this process must say first what it holds
elseif now - seen >= 1 or now < tonumber(seen) then
  redis.call('ZADD', MEMBERS, now, request.member)
end
sweep()
reap()
settle(request.settle)
observe(request.seen)
local throttle = given(request.throttle)
if throttle then
  pause(throttle[1], throttle[2], given(throttle[3]))
  state.epoch, state.paused_at = state.epoch + 1, now
end
local starts, retry_in, why = reserve(request.ask, request.horizon)
if request.leave then
  redis.call('ZREM', MEMBERS, request.member)
  release_all_of(request.member)
end

state.tanks = {}
local levels = {}
for i, tank in ipairs(tanks) do
  state.tanks[i] = {tank.resource, tank.limit, tank.declared, tank.rho, tank.level, tank.candidate, tank.samples}
  levels[#levels + 1] = tank.resource
  levels[#levels + 1] = number(tank.limit)
  levels[#levels + 1] = number(tank.level)
end
redis.call('SET', STATE, cmsgpack.pack(state), 'EX', FORGET_S)
local hurry = state.starved and now - state.starved < HURRY_S and 1 or 0
return {
  'ok',
  state.life,
  table.concat({
    number(now), number(paused_for()), number(state.paused_at or 0),
    state.epoch, state.generation, redis.call('ZCARD', MEMBERS), in_flight, hurry,
  }, ' '),
  state.reason or '',
  table.concat(levels, ' '),
  table.concat(starts, ' '),
  retry_in,
  why,
  request.describe and used() or '',
}
