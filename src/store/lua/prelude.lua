-- What every script of the ledger shares. One call serves one shard of one group's ledger.
--
-- KEYS 1 T:m books   2 T:p open records   3 T:x recent suppressed duplicates   4 T:y executed twice and conflicts
--      5 T:q:<lane>  6 T:w owners of completions that took more than one attempt
-- ARGV 1 number of the call in its lane, 0 = no lane   2 generation   3 incarnation; the rest is each script's own
-- A lane keeps the number of its last call, 8 bytes of hash over what that call asked for, and its reply.
-- Open record: state (P in flight, R released after a failure, H handed back), attempt, fence, place, payload hash, end of
-- lease or delay in ms; then owner NUL id NUL source. Remembered id: fence, place, hash, as they stand in the open record;
-- before them F when it was given up, nothing when it is completed.
-- A script does not roll back: each checks all that can fail before its first write.
-- Calls carry hundreds of events: what runs once an event makes no table, no string that it can do without, and as few
-- calls as it can; and an event is its number in the call.

local KEYS, ARGV = KEYS, ARGV
local call, char, byte, sub, find, format = redis.call, string.char, string.byte, string.sub, string.find, string.format
local to_bytes, from_bytes = struct.pack, struct.unpack
local OPEN, OPEN_BYTES = '>c1I2I7c10c2I6', 28
local DONE, DONE_BYTES = '>I7c10c2', 19
local IN_FLIGHT = byte('P')
local NO_HASH = '\0\0'
local EVENTS_MAX, NOTES_MAX, STREAM_LENGTH = 1000, 16, 1000
local WINNERS_MAX, WINNERS_MS = 1000, 3600000
local CLOCK_SLACK_US = 60000000
local LANE_MS = 3600000
-- New ids of a call between two that are asked how full their bucket is, the first of them included.
local FILL_EVERY = 8

-- %d is several times as quick as %.0f, and right where a long has 64 bits.
local WHOLE = format('%d', 2 ^ 52) == '4503599627370496' and '%d' or '%.0f'

local function int(x) return format(WHOLE, x) end

local function hash_hex(hash) return format('%04x', from_bytes('>I2', hash)) end

local function server_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- A whole number from 0 up to 2^53 - 1, or nil.
local function whole(s)
  if not s or not find(s, '^%d+$') then return nil end
  local n = s + 0
  return n < 9007199254740992 and n or nil
end

-- Whether a key is absent or of the type that a write needs.
local function has_type(key, wanted)
  local t = call('TYPE', key).ok
  return t == wanted or t == 'none'
end

-- What a call asks for, whatever generation it guesses: 8 bytes of hash in hexadecimal digits. `parts` says the same as the
-- arguments that stand behind the incarnation, in fewer bytes.
local function asked(op, parts)
  local number, gen = ARGV[1], ARGV[2]
  ARGV[1], ARGV[2] = op, ''
  local all = parts and table.concat(parts) or cmsgpack.pack(ARGV)
  ARGV[1], ARGV[2] = number, gen
  return sub(redis.sha1hex(all), 1, 16)
end

-- Finds the call's place in its lane. Gives the lane as it will be, false without one, or nil and the reply to send.
local function lane_of(op, parts)
  local number = whole(ARGV[1])
  if not number then return nil, {'BADARG', 'lane'} end
  if number == 0 then return false end
  -- The head holds number and hash; the reply behind them is read only for a call that comes again.
  local lane, head = {number = number, hash = asked(op, parts)}, call('GETRANGE', KEYS[5], 0, 31)
  local last, hash, _ = 0, nil, nil
  if head ~= '' then _, last, hash = cmsgpack.unpack_limit(head, 2) end
  if number == last + 1 then return lane end
  if number > last then return nil, {'LOST', int(last)} end
  if number < last then return nil, {'STALE', int(last)} end
  if hash ~= lane.hash then return nil, {'BADARG', 'lane'} end
  return nil, (select(3, cmsgpack.unpack(call('GET', KEYS[5]))))
end

-- Compares incarnation, clock, lane and generation. Gives the call's context, or nil and the reply to send. A call that is
-- refused here or before `leave` does not use up its number.
local function enter(op, parts)
  local m = call('HMGET', KEYS[1], 'inc', 'fence', 'window', 'gen', 'ids', 'ids_before', 'fill', 'fill_before')
  if not m[1] or m[1] ~= ARGV[3] then return nil, {'AMNESIA', m[1] or ''} end
  local now, fence, window = server_us(), tonumber(m[2]), tonumber(m[3])
  if fence - now > CLOCK_SLACK_US then return nil, {'CLOCK'} end
  local lane, reply = lane_of(op, parts)
  if lane == nil then return nil, reply end
  if now < fence then now = fence end
  local known = tonumber(m[4])
  local gen = math.max(known, math.floor(now / (window * 1000)))
  if whole(ARGV[2]) ~= gen then return nil, {'GEN', int(gen)} end
  local c = {lane = lane, now = now, ms = math.floor(now / 1000), fence = fence, window = window, gen = gen,
    remembered = 0, counts = {}, notes = {[3] = 0, [4] = 0}}
  if gen == known then
    c.ids, c.ids_before, c.fill, c.fill_before = tonumber(m[5]), tonumber(m[6]), tonumber(m[7]), tonumber(m[8])
  else
    local next_one = gen == known + 1
    c.rolled, c.ids, c.fill = true, 0, 0
    c.ids_before, c.fill_before = next_one and tonumber(m[5]) or 0, next_one and tonumber(m[7]) or 0
  end
  return c
end

local function count(c, name) c.counts[name] = (c.counts[name] or 0) + 1 end

-- Writes what the call has gathered and gives its reply.
local function leave(c, reply)
  local set = {}
  local function put(field, value) set[#set + 1] = field; set[#set + 1] = int(value) end
  if c.granted then put('fence', c.fence) end
  if c.rolled or c.remembered > 0 then
    put('gen', c.gen); put('ids', c.ids + c.remembered); put('ids_before', c.ids_before)
    put('fill', c.fill); put('fill_before', c.fill_before)
  end
  if #set > 0 then call('HSET', KEYS[1], unpack(set)) end
  for name, n in pairs(c.counts) do call('HINCRBY', KEYS[1], name, n) end
  if c.lane then
    call('SET', KEYS[5], cmsgpack.pack(c.lane.number, c.lane.hash, reply), 'PXAT', int(c.ms + LANE_MS))
  end
  return reply
end

-- The next fence: later than every other one and not before the present time.
local function next_fence(c)
  local fence = c.fence + 1
  if fence < c.now then fence = c.now end
  c.fence, c.granted = fence, true
  return fence
end

-- Whether a bucket of this generation that the call names is not there yet: asked once, before the first is written.
local function names_new_bucket(c)
  local first, step = c.buckets_from or 7, c.keys_per_event or 2
  local buckets, n = {}, 0
  for k = first, #KEYS, step do n = n + 1; buckets[n] = KEYS[k] end
  return call('EXISTS', unpack(buckets)) < n
end

-- Keeps a packed record. A new bucket gets its end; the fullest is known from every eighth id, as asking costs as much as keeping.
local function remember(c, bucket, digest, record)
  if c.has_new_bucket == nil then c.has_new_bucket = names_new_bucket(c) end
  if call('HSET', bucket, sub(digest, 9), record) == 0 then return end
  local n = c.remembered
  c.remembered = n + 1
  local sampled = n % FILL_EVERY == 0
  if not sampled and not c.has_new_bucket then return end
  local fill = call('HLEN', bucket)
  if fill == 1 then call('PEXPIREAT', bucket, int((c.gen + 2) * c.window)) end
  if sampled and fill > c.fill then c.fill = fill end
end

-- What is remembered of an id: the packed record, and whether only the older generation knows it.
local function recall(c, now_bucket, before_bucket, digest)
  local field = sub(digest, 9)
  local record = call('HGET', now_bucket, field)
  if record then return record, false end
  return c.ids_before > 0 and call('HGET', before_bucket, field), true
end

local function conflicts(a, b) return a ~= b and a ~= NO_HASH and b ~= NO_HASH end

-- What is remembered: state, fence, place and payload hash.
local function read_done(record)
  if #record == DONE_BYTES then return 'C', from_bytes(DONE, record) end
  return 'F', from_bytes(DONE, record, 2)
end

-- An event's id and source.
local function labels(label)
  local at = find(label, '\0', 1, true)
  return sub(label, 1, at - 1), sub(label, at + 1)
end

local function owner_of(record) return sub(record, OPEN_BYTES + 1, find(record, '\0', OPEN_BYTES + 1, true) - 1) end

-- The index of the bound that a time between two deliveries does not pass.
local function gap_index(c, first)
  if not c.gap_bounds then
    local w = c.window
    c.gap_bounds = {1e6, 1e7, 6e7, 6e8, 3.6e9, 8.64e10, w * 500, w * 800, w * 1000}
    table.sort(c.gap_bounds)
  end
  local i, gap = 0, c.now - first
  while i < 9 and gap > c.gap_bounds[i + 1] do i = i + 1 end
  return i
end

-- Counts a duplicate, and gives the stream in which it is to be noted for people. The counters are exact; the entries of
-- one call are bounded.
local function count_duplicate(c, cause, outcome, late, first)
  count(c, 'dup:' .. cause .. ':' .. outcome)
  if late then count(c, 'late') end
  if cause ~= 'conflict' then count(c, 'gap:' .. gap_index(c, first)) end
  local stream = (cause == 'conflict' or outcome == 'executed') and 4 or 3
  if c.notes[stream] == NOTES_MAX then return nil end
  c.notes[stream] = c.notes[stream] + 1
  return stream
end

local function note(c, stream, e)
  call('XADD', KEYS[stream], 'MAXLEN', '~', STREAM_LENGTH, '*', 'at', int(c.now), 'cause', e.cause,
    'outcome', e.outcome, 'late', e.late and '1' or '0', 'id', e.id, 'source', e.source, 'place', e.place,
    'owner', e.owner, 'first', int(e.first), 'first_place', e.first_place, 'first_owner', e.first_owner or '')
end

local function duplicate(c, e)
  local stream = count_duplicate(c, e.cause, e.outcome, e.late, e.first)
  if stream then note(c, stream, e) end
end

-- The number of events when the arguments from `first` on are whole groups of `per`, with `keys` keys each; or nil.
local function events(first, per, first_key, keys)
  local n = (#ARGV - first + 1) / per
  if n ~= math.floor(n) or n < 1 or n > EVENTS_MAX or #KEYS ~= first_key - 1 + n * keys then return nil end
  return n
end
