-- Counts one request in all of its limits, if each of them allows it.
--
-- KEYS: one hash for each limit. A field is the time when requests leave the window, its value how many they are.
-- ARGV: the time, or nothing for that of the server; the cost; and for each limit its requests, its window and the length
-- of the parts that it is counted in, or 0 if each request keeps its own time. All times are in microseconds.
-- Returns whether it is counted, the closest limit, how many requests are left of that, and the time to wait for one more.

local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end
local cost = tonumber(ARGV[2])

-- Numbers of more than 14 digits would be rounded.
local function text(number)
    return string.format('%.0f', number)
end

local function expire(key, window)
    redis.call('PEXPIRE', key, text(math.ceil(window / 1000) + 1000))
end

-- The requests that count, the earliest to leave first, and their number.
local function read(key, leaves, window)
    local fields, entries, used, latest = redis.call('HGETALL', key), {}, 0, 0
    for i = 1, #fields, 2 do
        local time, number = tonumber(fields[i]), tonumber(fields[i + 1])
        if time <= now then
            redis.call('HDEL', key, fields[i])
        else
            entries[#entries + 1] = { time, number }
            used = used + number
            latest = math.max(latest, time)
        end
    end
    -- The clock of the server went back: no time has passed since the latest request.
    if latest > leaves then
        redis.call('DEL', key)
        for _, entry in ipairs(entries) do
            entry[1] = entry[1] - (latest - leaves)
            redis.call('HSET', key, text(entry[1]), entry[2])
        end
        expire(key, window)
    end
    table.sort(entries, function(one, other) return one[1] < other[1] end)
    return entries, used
end

-- The time until this many requests have left.
local function wait(entries, number)
    for _, entry in ipairs(entries) do
        number = number - entry[2]
        if number <= 0 then
            return entry[1] - now
        end
    end
    return 0
end

local states, limited = {}, nil
for i, key in ipairs(KEYS) do
    local requests, window, part = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
    local leaves = now + window
    if part > 0 then
        leaves = (math.floor(now / part) + 1) * part + window
    end
    local entries, used = read(key, leaves, window + part)
    states[i] = { entries = entries, used = used, leaves = leaves, requests = requests, window = window + part }
    local beyond = used + cost - requests
    if cost > 0 and beyond > 0 then
        local time = cost > requests and window or wait(entries, beyond)
        if not limited or time > limited[4] then
            limited = { 0, i, math.max(requests - used, 0), time }
        end
    end
end
if limited then
    return limited
end

local closest
for i, key in ipairs(KEYS) do
    local state = states[i]
    if cost > 0 then
        -- A field that was there was made with an expiry after its time.
        if redis.call('HINCRBY', key, text(state.leaves), cost) == cost then
            expire(key, state.window)
        end
    end
    local left = math.max(state.requests - state.used - cost, 0)
    local time = 0
    if state.entries[1] then
        time = state.entries[1][1] - now
    elseif cost > 0 then
        time = state.leaves - now
    end
    if not closest or left < closest[3] or (left == closest[3] and time > closest[4]) then
        closest = { 1, i, left, time }
    end
end
return closest
