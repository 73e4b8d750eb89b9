--[[
The levels of one limit group: tank.py, levels.py and the rules of learned.py, line by line, so that both limiters
grant the same. The first part of the script; reserve.lua is the second.

`now` comes from the server's own clock; a test that owns time passes it as ARGV[2].
]]

local STATE, NEEDS, STARTS, MEMBERS, METER = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local MINUTE_S, DAY_S = 60, 86400
local REQUEST_BURST_S, TOKEN_BURST_S, SURPLUS_S = 0.5, 1, 5
local EQUAL_SAMPLES, SLACK = 3, 0.01
local FORGET_S = 2 * DAY_S  -- by then every level is full again
local MEASURES = {  -- period, what a request, an input token and an output token take, seconds that are saved up
  requests = {MINUTE_S, 1, 0, 0, REQUEST_BURST_S},
  tokens = {MINUTE_S, 0, 1, 1, TOKEN_BURST_S},
  input_tokens = {MINUTE_S, 0, 1, 0, TOKEN_BURST_S},
  output_tokens = {MINUTE_S, 0, 0, 1, TOKEN_BURST_S},
  requests_per_day = {DAY_S, 1, 0, 0, DAY_S},
  tokens_per_day = {DAY_S, 0, 1, 1, DAY_S},
}

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end

local state  -- life, at, epoch, paused_at, pause_until, reason, generation, slots, lease, held, bin, swept, starved
local tanks = {}
local in_flight = 0

local function given(value)
  if value ~= cjson.null then return value end
end

local function number(value)
  return string.format('%.17g', value)
end

local function set_limit(tank, limit)
  tank.limit = limit
  tank.rate = limit * tank.rho / tank.period
  tank.burst = math.max(tank.rate * tank.burst_s, tank.per_request)
end

local function new_tank(resource, limit, declared, rho, level, candidate, samples)
  local measure = MEASURES[resource]
  local tank = {
    resource = resource, declared = declared, rho = rho, level = level, candidate = candidate, samples = samples,
    period = measure[1], per_request = measure[2], per_input = measure[3], per_output = measure[4],
    burst_s = measure[5],
    daily = measure[1] == DAY_S,
    surplus = measure[2] > 0 and 0 or SURPLUS_S,
  }
  set_limit(tank, limit)
  return tank
end

local function amount(tank, requests, input_tokens, output_tokens)
  return tank.per_request * requests + tank.per_input * input_tokens + tank.per_output * output_tokens
end

local function ceiling(tank, paused_for)
  if paused_for > 0 and not tank.daily then return -tank.rate * paused_for end
  return tank.burst + tank.rate * tank.surplus
end

local function relimit(tank, limit, paused_for)
  set_limit(tank, limit)
  tank.level = math.min(math.max(tank.level, -tank.rate * tank.period), ceiling(tank, paused_for))
end

local function give_back(tank, back, paused_for)
  tank.level = tank.level + back
  if back > 0 then
    local most = ceiling(tank, paused_for)
    if tank.level > most then tank.level = math.max(most, tank.level - back) end
  end
end

local function find(resource)
  for _, tank in ipairs(tanks) do
    if tank.resource == resource then return tank end
  end
end

local function paused_for()
  return state.pause_until and math.max(0, state.pause_until - now) or 0
end

local function elapse()
  local elapsed = now - state.at
  if elapsed > 0 then
    for _, tank in ipairs(tanks) do
      if tank.level < tank.burst then tank.level = math.min(tank.burst, tank.level + tank.rate * elapsed) end
    end
  elseif elapsed < 0 and state.pause_until then
    state.pause_until = state.pause_until + elapsed
  end
  state.at = now
end

local function hold(requests, input_tokens, output_tokens)
  if in_flight > 0 then
    local held = state.held
    state.held = {held[1] + requests, held[2] + input_tokens, held[3] + output_tokens}
  else
    state.held = {0, 0, 0}  -- exact again, whatever rounding has added up
  end
end

local function count(requests, input_tokens, output_tokens)
  if requests == 0 and input_tokens == 0 and output_tokens == 0 then return end
  local second, bin = math.floor(now), state.bin
  if bin[1] ~= second then
    redis.call('HSET', METER, bin[1] % 60, cmsgpack.pack(bin))
    redis.call('EXPIRE', METER, FORGET_S)
    local known = redis.call('HGET', METER, second % 60)
    bin = known and cmsgpack.unpack(known) or bin
    if bin[1] ~= second then bin = {second, 0, 0, 0} end
  end
  state.bin = {second, bin[2] + requests, bin[3] + input_tokens, bin[4] + output_tokens}
end

local function take(need, wait)
  for _, tank in ipairs(tanks) do
    local taken = amount(tank, need[2], need[3], need[4])
    if taken ~= 0 then
      local level = tank.level
      if wait > 0 then level = math.min(level, math.max(level, tank.burst) - tank.rate * wait) end
      tank.level = level - taken
    end
  end
end

local function pause(seconds, reason, resource)
  if not state.pause_until or now + seconds >= state.pause_until then
    state.pause_until = now + math.max(0, seconds)
    state.reason = reason
  end
  local rest = paused_for()
  for _, tank in ipairs(tanks) do
    if tank.resource == resource or not tank.daily then tank.level = math.min(tank.level, -tank.rate * rest) end
  end
end

local function wait_for(need, rest)
  local wait, binding = rest, nil
  for _, tank in ipairs(tanks) do
    local wanted = amount(tank, need[2], need[3], need[4])
    if wanted ~= 0 then
      local short = math.min(wanted, tank.burst) - tank.level
      if short > 0 and short / tank.rate > wait then
        wait, binding = short / tank.rate, tank
      end
    end
  end
  return wait, binding
end

local function follow(tank, limit)
  limit = math.min(limit, tank.declared)
  if limit <= tank.limit then
    tank.candidate, tank.samples = 0, 0
    if limit == tank.limit then return end
  else
    tank.samples = tank.candidate == limit and tank.samples + 1 or 1
    tank.candidate = limit
    if tank.samples < EQUAL_SAMPLES then return end
    tank.candidate, tank.samples = 0, 0
  end
  relimit(tank, limit, paused_for())
  state.generation = state.generation + 1
end
